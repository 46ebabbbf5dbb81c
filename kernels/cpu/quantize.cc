#include "kernels/cpu/quantize.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/quantized_layout.h"

namespace switchyard::cpu {
namespace {

constexpr int64_t kLanes = 16;

/// Rows that are quantised together, in the lanes [first_lane, last_lane) of half a panel.
struct RowRun {
  const char* source = nullptr;  // of the row in first_lane
  int64_t num_rows = 0;          // of the source; rows after them are zero
  int64_t half = 0;              // of the panel: 0 or 1
  int64_t first_lane = 0;
  int64_t last_lane = 0;
  char* panel = nullptr;
};

class RowQuantizer {
 public:
  RowQuantizer(const CpuKernels& kernels, const WeightSpec& spec)
      : kernels_(kernels),
        dtype_(spec.dtype),
        layout_(layout_of(spec)),
        width_(std::min(layout_.group, spec.cols)),
        rows_(static_cast<size_t>(kLanes * width_)),
        lanes_(static_cast<size_t>(kLanes * width_)),
        words_(static_cast<size_t>(2 * kLanes * (width_ / kCodesPerBlock + 1))) {}

  void run(const RowRun& run) {
    if (has_coded_scales(layout_.bits)) find_units(run);
    char* at = run.panel + layout_.header_bytes;
    for (int64_t first = 0; first < layout_.cols; first += layout_.group) {
      const GroupWeights group = load(run, first);
      kernels_.fit_group(group, layout_.bits, units_.data(),
                         {scales_.data(), offsets_.data(), words_.data()});
      store_scales(run, at);
      store_codes(run, group.count, at + layout_.scales_bytes);
      at += layout_.group_bytes;
    }
    if (run.half == 0 && run.first_lane == 0) zero_end(run.panel);
  }

 private:
  /// What rounds the panel up to whole cache lines.
  void zero_end(char* panel) const {
    const int64_t groups = (layout_.cols + layout_.group - 1) / layout_.group;
    const int64_t blocks = (layout_.cols + kCodesPerBlock - 1) / kCodesPerBlock;
    const int64_t used =
        layout_.header_bytes + groups * layout_.scales_bytes + blocks * layout_.block_bytes;
    std::memset(panel + used, 0, static_cast<size_t>(layout_.panel_bytes - used));
  }

  /// The group that begins at input `first`, rows in lanes.
  GroupWeights load(const RowRun& run, int64_t first) {
    const int64_t count = std::min(layout_.group, layout_.cols - first);
    const int64_t bytes = size_of(dtype_);
    for (int64_t row = 0; row < run.num_rows; ++row) {
      kernels_.widen(run.source + (row * layout_.cols + first) * bytes, dtype_, count,
                     rows_.data() + (run.first_lane + row) * width_);
    }
    kernels_.pack_tile(rows_.data(), width_, kLanes, count, lanes_.data());
    return {lanes_.data(), count};
  }

  /// The unit of each row makes its largest scale 255^2.
  void find_units(const RowRun& run) {
    units_.fill(0.0f);
    for (int64_t first = 0; first < layout_.cols; first += layout_.group) {
      kernels_.group_scales(load(run, first), layout_.bits, scales_.data());
      for (size_t lane = 0; lane < kLanes; ++lane) {
        const float scale = scales_[lane] / (255.0f * 255.0f);
        // NaN comes and stays: it is to reach the whole row.
        if (!(scale <= units_[lane]) && !std::isnan(units_[lane])) units_[lane] = scale;
      }
    }
    store(run, units_.data(), run.panel);
  }

  /// Writes the run's lanes of [16] numbers into [kPanelWidth] of them.
  template <typename To, typename From>
  void store(const RowRun& run, const From* from, char* to) {
    for (int64_t lane = run.first_lane; lane < run.last_lane; ++lane) {
      const auto value = static_cast<To>(from[lane]);
      std::memcpy(to + (run.half * kLanes + lane) * static_cast<int64_t>(sizeof(To)), &value,
                  sizeof(To));
    }
  }
  void store(const RowRun& run, const float* from, char* to) { store<float>(run, from, to); }

  void store_scales(const RowRun& run, char* to) {
    if (has_coded_scales(layout_.bits)) {
      store<uint8_t>(run, scales_.data(), to);
      store<uint8_t>(run, offsets_.data(), to + kPanelWidth);
      return;
    }
    std::array<uint16_t, kLanes> halves;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      halves[lane] = static_cast<uint16_t>(std::bit_cast<uint32_t>(scales_[lane]) >> kScaleShift);
    }
    store<uint16_t>(run, halves.data(), to);
    store<float>(run, offsets_.data(), to + 2 * kPanelWidth);
  }

  void store_codes(const RowRun& run, int64_t count, char* to) {
    const uint32_t* words = words_.data();
    for (int64_t first = 0; first < count; first += kCodesPerBlock, to += layout_.block_bytes) {
      switch (layout_.bits) {
        case 8:
          store<uint32_t>(run, words, to);
          store<uint32_t>(run, words + kLanes, to + 4 * kPanelWidth);
          words += kLanes;
          break;
        case 4:
          store<uint32_t>(run, words, to);
          break;
        case 3: {
          store<uint16_t>(run, words, to);
          std::array<uint32_t, kLanes> high;
          for (size_t lane = 0; lane < kLanes; ++lane) high[lane] = words[lane] >> 16;
          store<uint8_t>(run, high.data(), to + 2 * kPanelWidth);
          break;
        }
        default:
          store<uint16_t>(run, words, to);
          break;
      }
      words += kLanes;
    }
  }

  const CpuKernels& kernels_;
  const DType dtype_;
  const QuantizedLayout layout_;
  const int64_t width_;  // of the rows of rows_: inputs of the largest group
  std::vector<float> rows_;
  std::vector<float> lanes_;
  std::vector<uint32_t> words_;
  std::array<float, kLanes> units_ = {};
  std::array<float, kLanes> scales_ = {};
  std::array<float, kLanes> offsets_ = {};
};

}  // namespace

void quantize_rows(const CpuKernels& kernels, ThreadPool& pool, const void* host_rows,
                   int64_t first_row, int64_t num_rows, const Weight& weight) {
  const WeightSpec& spec = weight.spec;
  const QuantizedLayout layout = layout_of(spec);
  const int64_t end = first_row + num_rows;
  // The padding of the last panel goes with the last row.
  const int64_t padded_end = end == spec.rows ? num_panels(spec.rows) * kPanelWidth : end;
  const int64_t first_run = first_row / kLanes;
  const int64_t num_runs = (padded_end + kLanes - 1) / kLanes - first_run;
  const int64_t row_bytes = spec.cols * size_of(spec.dtype);
  pool.parallel_for(num_runs, [&](int64_t task, int) {
    const int64_t begin = (first_run + task) * kLanes;
    const int64_t first = std::max(begin, first_row);
    RowRun run;
    run.source = static_cast<const char*>(host_rows) + (first - first_row) * row_bytes;
    run.num_rows = std::max<int64_t>(0, std::min(begin + kLanes, end) - first);
    run.half = begin % kPanelWidth / kLanes;
    run.first_lane = first - begin;
    run.last_lane = std::min(kLanes, padded_end - begin);
    run.panel = static_cast<char*>(weight.data) + begin / kPanelWidth * layout.panel_bytes;
    RowQuantizer(kernels, spec).run(run);
  });
}

}  // namespace switchyard::cpu
