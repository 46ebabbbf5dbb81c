// One row of routing, for any vector type of kernels/cpu/simd.
#pragma once

#include <cstdint>

#include "kernels/base/device_code.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/route.h"
#include "kernels/cpu/softmax_impl.h"

namespace switchyard::cpu {

/// The largest of the numbers offered, best first, the earlier one at a tie: values[j] is the
/// number of ids[j]. Distinct ids also among NaNs. A template over Vec so that each table has its
/// own.
template <class Vec>
struct TopList {
  float* values = nullptr;  // [capacity]
  int32_t* ids = nullptr;   // [capacity]
  int64_t capacity = 0;
  int64_t size = 0;

  SWITCHYARD_DEVICE void offer(float value, int64_t id) {
    if (size == capacity && !(value > values[capacity - 1])) return;
    int64_t place = size < capacity ? size++ : capacity - 1;
    // Strictly greater: an equal number that came before stays ahead.
    for (; place > 0 && value > values[place - 1]; --place) {
      values[place] = values[place - 1];
      ids[place] = ids[place - 1];
    }
    values[place] = value;
    ids[place] = static_cast<int32_t>(id);
  }

  /// Offers x[i] as i for [begin, end). Most vectors of a long row hold nothing good enough.
  void offer_all(const float* x, int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + 16 <= end; i += 16) {
      if (size == capacity && lane_bits(Vec::load(x + i) > Vec::set1(values[capacity - 1])) == 0) {
        continue;
      }
      for (int64_t j = i; j < i + 16; ++j) offer(x[j], j);
    }
    for (; i < end; ++i) offer(x[i], i);
  }
};

/// What turns a row's logits into scores.
template <class Vec>
struct Scoring {
  GateScore score;
  Vec maximum;  // of the row
  Vec total;    // of exp(logit - maximum), for the softmax

  SWITCHYARD_DEVICE Vec operator()(Vec logits) const {
    if (score == GateScore::kSoftmax) return exp(logits - maximum) / total;
    return score == GateScore::kSigmoid ? sigmoid(logits) : logits;
  }
};

/// out[i] = function(x[i]); `out` may be x.
template <class Vec, typename Function>
void map_row(const float* x, int64_t count, float* out, const Function& function) {
  for (int64_t i = 0; i < count; i += 16) {
    const int lanes = count - i < 16 ? static_cast<int>(count - i) : 16;
    function(Vec::load_partial(x + i, lanes)).store_partial(out + i, lanes);
  }
}

/// The score of a group of experts with the scores c[size].
template <class Vec>
SWITCHYARD_DEVICE float group_score(GroupScore kind, const float* c, int64_t size) {
  float largest = c[0];
  float second = -kInfinity;
  for (int64_t i = 1; i < size; ++i) {
    if (c[i] > largest) {
      second = largest;
      largest = c[i];
    } else if (c[i] > second) {
      second = c[i];
    }
  }
  return kind == GroupScore::kTopTwo && size > 1 ? largest + second : largest;
}

/// Offers the experts of the best groups, in ascending order: those of the others cannot be chosen
/// whatever their scores. Scratch: [num_groups + 2 kept_groups].
template <class Vec>
SWITCHYARD_DEVICE void offer_best_groups(const RouterSettings& settings, const float* c,
                                         float* scratch, TopList<Vec>& chosen) {
  const int64_t size = settings.num_experts / settings.num_groups;
  float* const scores = scratch;
  for (int64_t g = 0; g < settings.num_groups; ++g) {
    scores[g] = group_score<Vec>(settings.group_score, c + g * size, size);
  }
  float* const values = scores + settings.num_groups;
  auto* const kept = reinterpret_cast<int32_t*>(values + settings.kept_groups);
  TopList<Vec> best{values, kept, settings.kept_groups};
  best.offer_all(scores, 0, settings.num_groups);
  for (int64_t i = 1; i < best.size; ++i) {
    const int32_t group = kept[i];
    int64_t place = i;
    for (; place > 0 && kept[place - 1] > group; --place) kept[place] = kept[place - 1];
    kept[place] = group;
  }
  for (int64_t i = 0; i < best.size; ++i) {
    chosen.offer_all(c, kept[i] * size, (kept[i] + 1) * size);
  }
}

/// Chooses by the largest scores; their weights are the scores without the selection bias.
template <class Vec>
SWITCHYARD_DEVICE void choose_top_k(const RouteParams& params, const float* logits,
                                    const Scoring<Vec>& scoring, float* scratch,
                                    TopList<Vec> chosen) {
  const RouterSettings& settings = params.settings;
  const float* c = logits;
  if (!params.chooses_by_logits()) {
    map_row<Vec>(logits, settings.num_experts, scratch, scoring);
    if (params.selection_bias != nullptr) {
      for (int64_t e = 0; e < settings.num_experts; ++e) scratch[e] += params.selection_bias[e];
    }
    c = scratch;
  }
  if (settings.num_groups == 1) {
    chosen.offer_all(c, 0, settings.num_experts);
  } else {
    offer_best_groups(settings, c, scratch + settings.num_experts, chosen);
  }
  for (int64_t j = 0; j < settings.top_k; ++j) chosen.values[j] = logits[chosen.ids[j]];
  map_row<Vec>(chosen.values, settings.top_k, chosen.values, scoring);
}

/// The sparse mixer's weight of the largest of s, m: 1 / the sum of exp(s - m) over those near it.
template <class Vec>
SWITCHYARD_DEVICE float near_share(const float* s, int64_t count, float largest, float jitter) {
  const Vec maximum = Vec::set1(largest);
  const Vec most = Vec::set1(2.0f * jitter);
  Vec sum = Vec::zero();
  for (int64_t i = 0; i < count; i += 16) {
    const int lanes = count - i < 16 ? static_cast<int>(count - i) : 16;
    const Vec scores = Vec::load_partial(s + i, lanes);
    const auto is_far = (maximum - scores) / max(abs(scores), maximum) > most;
    const Vec terms = select(is_far, Vec::zero(), exp(scores - maximum));
    sum = sum + select_first(lanes, terms, Vec::zero());
  }
  return 1.0f / reduce_add(sum);
}

template <class Vec>
SWITCHYARD_DEVICE void choose_sparse_mixer(const RouteParams& params, const float* logits,
                                           float* scratch, TopList<Vec> chosen) {
  const int64_t count = params.settings.num_experts;
  chosen.offer_all(logits, 0, count);
  for (int64_t e = 0; e < count; ++e) scratch[e] = logits[e];
  for (int64_t j = 0; j < chosen.size; ++j) {
    chosen.values[j] = near_share<Vec>(scratch, count, chosen.values[j], params.settings.jitter);
    scratch[chosen.ids[j]] = -kInfinity;
  }
}

/// The weights of the chosen become what `settings.norm` makes of them.
template <class Vec>
SWITCHYARD_DEVICE void normalise_weights(const RouterSettings& settings, const float* logits,
                                         const int32_t* ids, float* weights) {
  if (settings.norm == GateNorm::kNone) return;
  const int64_t k = settings.top_k;
  if (settings.norm == GateNorm::kOnes) {
    for (int64_t j = 0; j < k; ++j) weights[j] = 1.0f;
    return;
  }
  const bool is_softmax = settings.norm == GateNorm::kSoftmax;
  if (is_softmax) {
    for (int64_t j = 0; j < k; ++j) weights[j] = logits[ids[j]];
    const Vec maximum = Vec::set1(row_maximum<Vec>(weights, k));
    map_row<Vec>(weights, k, weights, [=](Vec logit) { return exp(logit - maximum); });
  }
  float sum = 0.0f;
  for (int64_t j = 0; j < k; ++j) sum = sum + weights[j];
  if (!is_softmax) {
    sum = sum + settings.norm_add;
    if (sum < settings.norm_floor) sum = settings.norm_floor;
  }
  for (int64_t j = 0; j < k; ++j) weights[j] = weights[j] / sum;
}

template <class Vec>
SWITCHYARD_DEVICE void route_row(const RouteParams& params, int64_t row, float* scratch) {
  const RouterSettings& settings = params.settings;
  const int64_t k = settings.top_k;
  const float* logits = params.logits + row * settings.num_experts;
  const float largest = row_maximum<Vec>(logits, settings.num_experts);
  Scoring<Vec> scoring{settings.score, Vec::set1(largest), Vec::zero()};
  if (settings.score == GateScore::kSoftmax) {
    scoring.total = Vec::set1(sum_of_exps(logits, settings.num_experts, scoring.maximum));
  }
  float* weights = params.topk_weights + row * k;
  const TopList<Vec> chosen{weights, params.topk_idx + row * k, k};
  if (settings.selector == GateSelector::kSparseMixer) {
    choose_sparse_mixer(params, logits, scratch, chosen);
  } else {
    choose_top_k(params, logits, scoring, scratch, chosen);
  }
  normalise_weights<Vec>(settings, logits, chosen.ids, weights);
  for (int64_t j = 0; j < k; ++j) {
    weights[j] = largest != largest ? kNan : weights[j] * params.scale;
  }
}

}  // namespace switchyard::cpu
