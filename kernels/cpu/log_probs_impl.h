// The log-softmax statistics of one row, for any vector type of kernels/cpu/simd.
#pragma once

#include "kernels/base/device_code.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/log_probs.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/softmax_impl.h"
#include "kernels/ops.h"

namespace switchyard::cpu {

/// The maximum of a segment of logits. Adds x * 0 to `poison`, NaN for every x that is not finite.
template <class Vec>
SWITCHYARD_DEVICE float segment_maximum(const float* x, int64_t count, Vec& poison) {
  Vec maximum = Vec::set1(-kInfinity);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const Vec values = Vec::load(x + i);
    maximum = max(maximum, values);
    poison = fma(values, Vec::zero(), poison);
  }
  if (i < count) {
    const int tail = static_cast<int>(count - i);
    const Vec values = Vec::load_partial(x + i, tail);
    maximum = select_first(tail, max(maximum, values), maximum);
    poison = fma(values, Vec::zero(), poison);
  }
  return reduce_max(maximum);
}

template <class Vec>
SWITCHYARD_DEVICE LogNormaliser log_normaliser(const float* logits, int64_t vocabulary) {
  const auto scalar_exp = [](float x) { return first_lane(exp(Vec::set1(x))); };
  float maximum = 0.0f;
  float total = 0.0f;
  Vec poison = Vec::zero();
  for (int64_t first = 0; first < vocabulary; first += kVocabularyPerSegment) {
    const int64_t rest = vocabulary - first;
    const int64_t count = rest < kVocabularyPerSegment ? rest : kVocabularyPerSegment;
    const float segment_max = segment_maximum<Vec>(logits + first, count, poison);
    const float sum = sum_of_exps<Vec>(logits + first, count, Vec::set1(segment_max));
    if (first == 0) {
      maximum = segment_max;
      total = sum;
      continue;
    }
    const float joined = segment_max > maximum ? segment_max : maximum;
    total = total * scalar_exp(maximum - joined) + sum * scalar_exp(segment_max - joined);
    maximum = joined;
  }
  LogNormaliser result{.maximum = maximum};
  const float sum_of_poison = reduce_add(poison);
  result.log_sum = sum_of_poison == 0.0f ? first_lane(log(Vec::set1(total))) : kNan;
  return result;
}

}  // namespace switchyard::cpu
