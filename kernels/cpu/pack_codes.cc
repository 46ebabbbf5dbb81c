#include "kernels/cpu/pack_codes.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/quantized_layout.h"

namespace switchyard::cpu {
namespace {

constexpr uint64_t kEveryByte = 0x0101010101010101;

/// Whether one of 8 codes is S.1111.111.
bool has_nan(uint64_t codes) {
  const uint64_t below = (codes & kEveryByte * 0x7F) ^ kEveryByte * 0x7F;  // 0: a NaN
  return ((below - kEveryByte) & ~below & kEveryByte * 0x80) != 0;
}

/// Packs one row of a matrix.
class CodeRow {
 public:
  /// Row `lane` of the panel.
  CodeRow(const WeightSpec& spec, const QuantizedLayout& layout, const char* source, char* panel,
          int64_t lane)
      : layout_(layout),
        bytes_per_block_(layout.bits),  // 8 codes of so many bits
        code_bytes_(spec.code_bytes()),
        codes_(source),
        scales_(source + code_bytes_),
        panel_(panel),
        lane_(lane) {}

  void pack_group(int64_t group) {
    char* const to = panel_ + group * layout_.group_bytes;
    const int64_t begin = group * layout_.group * layout_.bits / 8;
    const int64_t end = std::min(code_bytes_, begin + layout_.group * layout_.bits / 8);
    char* block = to + layout_.scales_bytes;
    bool is_nan = false;
    for (int64_t at = begin; at < end; at += bytes_per_block_, block += layout_.block_bytes) {
      uint64_t codes = 0;
      std::memcpy(&codes, codes_ + at, static_cast<size_t>(std::min(bytes_per_block_, end - at)));
      is_nan = is_nan || (layout_.form == CodeForm::kE4m3 && has_nan(codes));
      store_words(codes, block);
    }
    store_scale(group, is_nan, to);
  }

 private:
  void store_words(uint64_t codes, char* block) const {
    constexpr int64_t kWord = 4;
    const auto low = static_cast<uint32_t>(codes);
    std::memcpy(block + lane_ * kWord, &low, sizeof(low));
    if (layout_.bits == 4) return;
    const auto high = static_cast<uint32_t>(codes >> 32);
    std::memcpy(block + (kPanelWidth + lane_) * kWord, &high, sizeof(high));
  }

  void store_scale(int64_t group, bool is_nan, char* to) const {
    if (layout_.form == CodeForm::kE2m1) {
      to[lane_] = scales_[group];
      return;
    }
    float scale = 0.0f;
    std::memcpy(&scale, scales_ + group * size_of(DType::kF32), sizeof(scale));
    if (is_nan) scale = __builtin_nanf("");
    std::memcpy(to + lane_ * size_of(DType::kF32), &scale, sizeof(scale));
  }

  const QuantizedLayout& layout_;
  const int64_t bytes_per_block_;
  const int64_t code_bytes_;
  const char* const codes_;
  const char* const scales_;
  char* const panel_;
  const int64_t lane_;
};

/// Zeroes outputs [lane, kPanelWidth) of one panel.
void zero_lanes(const QuantizedLayout& layout, int64_t lane, char* panel) {
  const int64_t scale = layout.scales_bytes / kPanelWidth;
  const int64_t count = kPanelWidth - lane;
  const auto zero = [&](char* lanes, int64_t bytes) {
    std::memset(lanes + lane * bytes, 0, static_cast<size_t>(count * bytes));
  };
  for (int64_t first = 0; first < layout.cols; first += layout.group) {
    char* const group = panel + first / layout.group * layout.group_bytes;
    zero(group, scale);
    const int64_t end = std::min(first + layout.group, layout.cols);
    char* block = group + layout.scales_bytes;
    for (int64_t i = first; i < end; i += kCodesPerBlock, block += layout.block_bytes) {
      zero(block, 4);
      if (layout.bits == 8) zero(block + kPanelWidth * 4, 4);
    }
  }
}

}  // namespace

void pack_codes(ThreadPool& pool, const void* host_rows, int64_t first_row, int64_t num_rows,
                const Weight& weight) {
  const WeightSpec& spec = weight.spec;
  const QuantizedLayout layout = layout_of(spec);
  const int64_t end = first_row + num_rows;
  SWITCHYARD_CHECK(first_row >= 0 && num_rows >= 0 && end <= spec.rows, "rows [", first_row, ", ",
                   end, ") of ", spec.rows);
  const int64_t first_panel = first_row / kPanelWidth;
  const int64_t row_bytes = spec.source_row_bytes();
  pool.parallel_for(num_panels(end) - first_panel, [&](int64_t task, int) {
    const int64_t begin = (first_panel + task) * kPanelWidth;
    const int64_t first = std::max(begin, first_row);
    const int64_t last = std::min(begin + kPanelWidth, end);
    char* const panel = static_cast<char*>(weight.data) + (first_panel + task) * layout.panel_bytes;
    // Group by group, whose codes stay in the cache while all rows write theirs.
    for (int64_t group = 0; group * layout.group < spec.cols; ++group) {
      for (int64_t row = first; row < last; ++row) {
        const char* const source =
            static_cast<const char*>(host_rows) + (row - first_row) * row_bytes;
        CodeRow(spec, layout, source, panel, row - begin).pack_group(group);
      }
    }
    if (last == spec.rows && last < begin + kPanelWidth) zero_lanes(layout, last - begin, panel);
  });
}

}  // namespace switchyard::cpu
