// Statistics of a row that a softmax needs, for any vector type of kernels/cpu/simd.
#pragma once

#include <cstdint>

#include "kernels/base/device_code.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"

namespace switchyard::cpu {

/// The largest of x, -infinity without any; NaN if one of them is.
template <class Vec>
SWITCHYARD_DEVICE float row_maximum(const float* x, int64_t count) {
  Vec maximum = Vec::set1(-kInfinity);
  auto has_nan = is_nan(maximum);
  const auto take = [&](Vec values) {
    maximum = max(maximum, values);
    has_nan = has_nan | is_nan(values);
  };
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) take(Vec::load(x + i));
  if (i < count) {
    const int tail = static_cast<int>(count - i);
    take(select_first(tail, Vec::load_partial(x + i, tail), maximum));
  }
  return lane_bits(has_nan) == 0 ? reduce_max(maximum) : kNan;
}

/// The sum of exp(x - maximum): 16 lanes of ascending entries, then the fixed lane tree.
template <class Vec>
SWITCHYARD_DEVICE float sum_of_exps(const float* x, int64_t count, Vec maximum) {
  Vec sum = Vec::zero();
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) sum = sum + exp(Vec::load(x + i) - maximum);
  if (i < count) {
    const int tail = static_cast<int>(count - i);
    const Vec terms = exp(Vec::load_partial(x + i, tail) - maximum);
    sum = sum + select_first(tail, terms, Vec::zero());
  }
  return reduce_add(sum);
}

}  // namespace switchyard::cpu
