// One row of routing, for any vector type of kernels/cpu/simd.
#pragma once

#include <cfloat>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/route.h"

namespace switchyard::cpu {

/// The k largest logits, best first, the lower index at a tie: values[j] is the logit of ids[j].
/// Needs k <= count. A template over Vec, though it uses none, so that each table has its own.
template <class Vec>
void choose_largest(const float* logits, int64_t count, int64_t k, float* values, int32_t* ids) {
  for (int64_t i = 0; i < count; ++i) {
    const float logit = logits[i];
    int64_t place = i < k ? i : k;
    if (place == k && !(logit > values[k - 1])) continue;
    if (place == k) --place;
    // Strictly greater: an equal logit of a lower index stays ahead.
    for (; place > 0 && logit > values[place - 1]; --place) {
      values[place] = values[place - 1];
      ids[place] = ids[place - 1];
    }
    values[place] = logit;
    ids[place] = static_cast<int32_t>(i);
  }
}

template <class Vec>
void route_row(const RouteParams& params, int64_t row) {
  const int64_t count = params.num_experts;
  const int64_t whole = count / 16 * 16;
  const int tail = static_cast<int>(count - whole);
  const float* logits = params.logits + row * count;
  float* weights = params.topk_weights + row * params.top_k;
  choose_largest<Vec>(logits, count, params.top_k, weights, params.topk_idx + row * params.top_k);

  const Vec maximum = Vec::set1(weights[0]);
  Vec sum = Vec::zero();
  for (int64_t i = 0; i < whole; i += 16) sum = sum + exp(Vec::load(logits + i) - maximum);
  if (tail > 0) {
    const Vec terms = exp(Vec::load_partial(logits + whole, tail) - maximum);
    sum = sum + select_first(tail, terms, Vec::zero());
  }
  const float total = reduce_add(sum);

  float chosen = 0.0f;
  for (int64_t j = 0; j < params.top_k; ++j) {
    weights[j] = first_lane(exp(Vec::set1(weights[j]) - maximum)) / total;
    chosen = chosen + weights[j];
  }
  if (params.norm == GateNorm::kNone) return;
  if (chosen < FLT_EPSILON) chosen = FLT_EPSILON;
  for (int64_t j = 0; j < params.top_k; ++j) weights[j] = weights[j] / chosen;
}

}  // namespace switchyard::cpu
