#include "kernels/cpu/packing.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/error.h"

namespace switchyard::cpu {
namespace {

/// Inputs transposed together: 32 outputs x 32 inputs of 4 bytes are 4 KiB, far inside any L1.
constexpr int64_t kTransposeBlock = 32;

/// Writes `count` rows of the source as outputs [lane, lane + count) of one panel.
template <int kBytes>
void pack_into_panel(const char* rows, int64_t count, int64_t k, char* panel, int64_t lane) {
  for (int64_t begin = 0; begin < k; begin += kTransposeBlock) {
    const int64_t end = std::min(begin + kTransposeBlock, k);
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t i = begin; i < end; ++i) {
        // Bytewise, for the source may have any alignment.
        std::memcpy(panel + (i * kPanelWidth + lane + r) * kBytes, rows + (r * k + i) * kBytes,
                    kBytes);
      }
    }
  }
}

/// Zeroes outputs [lane, kPanelWidth) of one panel.
void zero_lanes(char* panel, int64_t k, int64_t lane, int64_t element_bytes) {
  for (int64_t i = 0; i < k; ++i) {
    std::memset(panel + (i * kPanelWidth + lane) * element_bytes, 0,
                static_cast<size_t>((kPanelWidth - lane) * element_bytes));
  }
}

}  // namespace

int64_t num_panels(int64_t rows) { return (rows + kPanelWidth - 1) / kPanelWidth; }

int64_t packed_bytes(const WeightSpec& spec) {
  if (spec.dtype != DType::kF32 && spec.dtype != DType::kF16 && spec.dtype != DType::kBF16) {
    fail_input("a weight matrix of type ", name_of(spec.dtype),
               "; the CPU computes with fp32, fp16 and bf16");
  }
  SWITCHYARD_CHECK(spec.rows >= 0 && spec.cols >= 0, "a weight [", spec.rows, ", ", spec.cols, "]");
  return num_panels(spec.rows) * kPanelWidth * spec.cols * size_of(spec.dtype);
}

void pack_rows(const void* host_rows, int64_t first_row, int64_t num_rows, const Weight& weight) {
  const WeightSpec& spec = weight.spec;
  const int64_t end = first_row + num_rows;
  SWITCHYARD_CHECK(first_row >= 0 && num_rows >= 0 && end <= spec.rows, "rows [", first_row, ", ",
                   end, ") of ", spec.rows);
  const int64_t element_bytes = size_of(spec.dtype);
  const char* source = static_cast<const char*>(host_rows);
  for (int64_t row = first_row; row < end;) {
    const int64_t lane = row % kPanelWidth;
    const int64_t count = std::min(kPanelWidth - lane, end - row);
    const int64_t at = row / kPanelWidth * spec.cols * kPanelWidth * element_bytes;
    char* panel = static_cast<char*>(weight.data) + at;
    const auto pack = element_bytes == 2 ? &pack_into_panel<2> : &pack_into_panel<4>;
    pack(source, count, spec.cols, panel, lane);
    row += count;
    source += count * spec.cols * element_bytes;
    if (row == spec.rows && row % kPanelWidth != 0) {
      zero_lanes(panel, spec.cols, row % kPanelWidth, element_bytes);
    }
  }
}

void unpack_row(const CpuKernels& kernels, const Weight& weight, int64_t row, float* out) {
  SWITCHYARD_ASSERT(row >= 0 && row < weight.spec.rows, "row ", row, " of ", weight.spec.rows);
  kernels.unpack_row(weight.data, weight.spec.dtype, weight.spec.cols, row, out);
}

}  // namespace switchyard::cpu
