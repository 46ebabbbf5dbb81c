#include "kernels/cpu/finite.h"

#include <atomic>
#include <bit>

#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {
namespace {

bool has_non_finite(const float* row, int64_t width) {
  constexpr uint32_t kExponent = 0x7F800000u;
  uint32_t found = 0;  // no early exit: this way the loop is vectorised
  for (int64_t i = 0; i < width; ++i) {
    found |= (std::bit_cast<uint32_t>(row[i]) & kExponent) == kExponent ? 1u : 0u;
  }
  return found != 0;
}

}  // namespace

void find_non_finite(OpContext& context, const FindNonFiniteParams& params) {
  std::atomic<int64_t> lowest{params.num_rows};
  for_row_ranges(context, params.num_rows, params.width, [&](int64_t begin, int64_t end, int) {
    int64_t row = begin;
    while (row < end && !has_non_finite(params.x + row * params.width, params.width)) ++row;
    if (row == end) return;
    int64_t known = lowest.load();
    while (row < known && !lowest.compare_exchange_weak(known, row)) {
    }
  });
  const int64_t row = lowest.load();
  params.first_row[0] = row == params.num_rows ? -1 : static_cast<int32_t>(row);
}

}  // namespace switchyard::cpu
