#include "kernels/cpu/packing.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/cpu/quantized_layout.h"

namespace switchyard::cpu {
namespace {

constexpr int64_t kCacheLine = 64;

// 16 bytes, what every x86-64 and AArch64 machine has in one register. The compiler knows how to
// exchange their elements on each.
using Words = uint16_t __attribute__((vector_size(16)));
using DoubleWords = uint32_t __attribute__((vector_size(16)));

/// The elements of the halves of a and b by turns: a0 b0 a1 b1 ...
Words interleave_low(Words a, Words b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
Words interleave_high(Words a, Words b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
DoubleWords interleave_low(DoubleWords a, DoubleWords b) {
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}
DoubleWords interleave_high(DoubleWords a, DoubleWords b) {
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

/// Writes a square of as many elements as a vector has, transposed. Strides in bytes; any
/// alignment. With the bits of an element's row and column in one number, interleaving the first
/// half of the rows with the second turns that number left by one place: after log2(n) turns row
/// and column have changed places.
template <typename Vector>
void transpose_square(const char* from, int64_t from_stride, char* to, int64_t to_stride) {
  constexpr int kElements = sizeof(Vector) / sizeof(Vector{}[0]);
  std::array<Vector, kElements> rows;
  for (int i = 0; i < kElements; ++i) std::memcpy(&rows[i], from + i * from_stride, sizeof(Vector));
  for (int turn = 1; turn < kElements; turn *= 2) {
    std::array<Vector, kElements> turned;
    for (int i = 0; i < kElements / 2; ++i) {
      turned[2 * i] = interleave_low(rows[i], rows[i + kElements / 2]);
      turned[2 * i + 1] = interleave_high(rows[i], rows[i + kElements / 2]);
    }
    rows = turned;
  }
  for (int i = 0; i < kElements; ++i) std::memcpy(to + i * to_stride, &rows[i], sizeof(Vector));
}

/// Writes `count` rows of the source as outputs [lane, lane + count) of one panel.
template <typename Vector>
void pack_into_panel(const char* rows, int64_t count, int64_t k, char* panel, int64_t lane) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Vector{}[0]));
  constexpr int64_t kSquare = sizeof(Vector) / kBytes;
  // Inputs of a cache line of each row: rows that are a power of two apart share a few places of
  // the cache, so that a line is used up before those of other rows push it out.
  constexpr int64_t kBlock = kCacheLine / kBytes;
  const auto from = [=](int64_t r, int64_t i) { return rows + (r * k + i) * kBytes; };
  const auto to = [=](int64_t r, int64_t i) {
    return panel + (i * kPanelWidth + lane + r) * kBytes;
  };
  const auto copy = [=](int64_t r, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::memcpy(to(r, i), from(r, i), kBytes);
  };
  const int64_t whole_rows = count - count % kSquare;
  for (int64_t begin = 0; begin < k; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, k);
    const int64_t whole_end = end - end % kSquare;
    for (int64_t r = 0; r < whole_rows; r += kSquare) {
      for (int64_t i = begin; i < whole_end; i += kSquare) {
        transpose_square<Vector>(from(r, i), k * kBytes, to(r, i), kPanelWidth * kBytes);
      }
      for (int64_t j = r; j < r + kSquare; ++j) copy(j, whole_end, end);
    }
    for (int64_t r = whole_rows; r < count; ++r) copy(r, begin, end);
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
  if (spec.quantization.is_on()) return num_panels(spec.rows) * layout_of(spec).panel_bytes;
  return num_panels(spec.rows) * kPanelWidth * spec.cols * size_of(spec.dtype);
}

void pack_rows(const void* host_rows, int64_t first_row, int64_t num_rows, const Weight& weight) {
  const WeightSpec& spec = weight.spec;
  const int64_t end = first_row + num_rows;
  SWITCHYARD_CHECK(first_row >= 0 && num_rows >= 0 && end <= spec.rows, "rows [", first_row, ", ",
                   end, ") of ", spec.rows);
  SWITCHYARD_CHECK(!spec.quantization.is_on(), "quantize_rows packs quantised weights");
  const int64_t element_bytes = size_of(spec.dtype);
  const char* source = static_cast<const char*>(host_rows);
  for (int64_t row = first_row; row < end;) {
    const int64_t lane = row % kPanelWidth;
    const int64_t count = std::min(kPanelWidth - lane, end - row);
    const int64_t at = row / kPanelWidth * spec.cols * kPanelWidth * element_bytes;
    char* panel = static_cast<char*>(weight.data) + at;
    const auto pack = element_bytes == 2 ? &pack_into_panel<Words> : &pack_into_panel<DoubleWords>;
    pack(source, count, spec.cols, panel, lane);
    row += count;
    source += count * spec.cols * element_bytes;
    if (row == spec.rows && row % kPanelWidth != 0) {
      zero_lanes(panel, spec.cols, row % kPanelWidth, element_bytes);
    }
  }
}

void unpack_row(const CpuKernels& kernels, const Weight& weight, int64_t row, float* out) {
  SWITCHYARD_CHECK(!weight.spec.quantization.is_on(), "rows of a quantised weight");
  SWITCHYARD_ASSERT(row >= 0 && row < weight.spec.rows, "row ", row, " of ", weight.spec.rows);
  kernels.unpack_row(weight.data, weight.spec.dtype, weight.spec.cols, row, out);
}

}  // namespace switchyard::cpu
