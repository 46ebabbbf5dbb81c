#include "kernels/cuda/route.h"

#include "kernels/cpu/route_impl.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

/// Sixteen threads choose for one row. Its workspace is in device memory: experts may be any
/// number; what a group of threads has just written it reads from the first-level cache.
struct Row {
  const cpu::RouteParams& params;
  const float* logits;  // [num_experts]
  float* weights;       // [top_k]
  int32_t* ids;         // [top_k]
  float* scores;        // [num_experts] what decides
  float* groups;        // [num_groups] their scores
  float* kept_scores;   // [kept_groups] for a choice one by one
  int32_t* kept;        // [kept_groups]
  uint8_t* open;        // [num_experts] whether it may still be chosen; behind it, of groups
  float largest;        // of the logits, NaN if one is
};

__device__ void meet() { __syncwarp(lane_group()); }

/// The place of the largest of x among those that are open, the lowest one at a tie; -1 without
/// any. All sixteen threads get it. No NaN among them.
__device__ int32_t find_largest(const float* x, const uint8_t* open, int64_t count) {
  float best = 0.0f;
  int32_t place = -1;
  for (int64_t i = lane_number(); i < count; i += 16) {
    if (open[i] == 0 || (place >= 0 && !(x[i] > best))) continue;
    best = x[i];
    place = static_cast<int32_t>(i);
  }
  for (int width = 8; width >= 1; width /= 2) {
    const float other = __shfl_xor_sync(lane_group(), best, width, 16);
    const int32_t other_place = __shfl_xor_sync(lane_group(), place, width, 16);
    const bool is_better = place < 0 || other > best || (other == best && other_place < place);
    if (other_place >= 0 && is_better) {
      best = other;
      place = other_place;
    }
  }
  return place;
}

/// Takes the `wanted` largest in descending order: took(n, place), by all threads.
template <typename Took>
__device__ void take_largest(const float* x, uint8_t* open, int64_t count, int64_t wanted,
                             const Took& took) {
  for (int64_t n = 0; n < wanted; ++n) {
    const int32_t place = find_largest(x, open, count);
    took(n, place);
    if (lane_number() == 0) open[place] = 0;
    meet();
  }
}

__device__ void fill(uint8_t* flags, int64_t count, uint8_t value) {
  for (int64_t i = lane_number(); i < count; i += 16) flags[i] = value;
}

/// Whether numbers have an order (kNan: some are NaN, and only a list that takes one after the
/// other, as the CPU's, tells which are chosen).
enum class Order { kNan, kTotal };

/// The best groups, one by one.
__device__ void open_groups_one_by_one(const Row& row, int64_t size) {
  const RouterSettings& settings = row.params.settings;
  if (lane_number() == 0) {
    cpu::TopList<LaneVec> best{row.kept_scores, row.kept, settings.kept_groups};
    for (int64_t g = 0; g < settings.num_groups; ++g) best.offer(row.groups[g], g);
  }
  meet();
  for (int64_t i = 0; i < settings.kept_groups; ++i) fill(row.open + row.kept[i] * size, size, 1);
  meet();
}

/// Opens the experts of the best groups only.
__device__ void open_best_groups(const Row& row, Order order) {
  const RouterSettings& settings = row.params.settings;
  const int64_t size = settings.num_experts / settings.num_groups;
  uint8_t* const open_groups = row.open + settings.num_experts;
  for (int64_t g = lane_number(); g < settings.num_groups; g += 16) {
    row.groups[g] = cpu::group_score<LaneVec>(settings.group_score, row.scores + g * size, size);
  }
  fill(open_groups, settings.num_groups, 1);
  fill(row.open, settings.num_experts, 0);
  meet();
  if (order == Order::kNan) {
    open_groups_one_by_one(row, size);
    return;
  }
  take_largest(row.groups, open_groups, settings.num_groups, settings.kept_groups,
               [&](int64_t, int32_t group) { fill(row.open + group * size, size, 1); });
}

/// Chooses by the scores, as a list that takes one after the other would: only this tells what
/// happens to NaN.
__device__ void choose_one_by_one(const Row& row) {
  const RouterSettings& settings = row.params.settings;
  if (lane_number() == 0) {
    cpu::TopList<LaneVec> chosen{row.weights, row.ids, settings.top_k};
    for (int64_t e = 0; e < settings.num_experts; ++e) {
      if (row.open[e] != 0) chosen.offer(row.scores[e], e);
    }
  }
  meet();
}

__device__ void choose_top_k(const Row& row, const cpu::Scoring<LaneVec>& scoring) {
  const cpu::RouteParams& params = row.params;
  const RouterSettings& settings = params.settings;
  // Infinite logits make NaN too: as scores, and as sums of a group's.
  bool has_nan = !(row.largest * 0.0f == 0.0f);
  for (int64_t e = lane_number(); e < settings.num_experts; e += 16) {
    float score = row.logits[e];
    if (!params.chooses_by_logits()) {
      score = scoring(LaneVec{score}).v;
      if (params.selection_bias != nullptr) score += params.selection_bias[e];
    }
    row.scores[e] = score;
    has_nan = has_nan || score != score;
  }
  const Order order = lane_bits(LaneMask{has_nan}) != 0 ? Order::kNan : Order::kTotal;
  fill(row.open, settings.num_experts, 1);
  meet();
  if (settings.num_groups > 1) open_best_groups(row, order);
  if (order == Order::kNan) {
    choose_one_by_one(row);
  } else {
    take_largest(row.scores, row.open, settings.num_experts, settings.top_k,
                 [&](int64_t n, int32_t expert) {
                   if (lane_number() == 0) row.ids[n] = expert;
                 });
  }
  meet();
  for (int64_t j = lane_number(); j < settings.top_k; j += 16) {
    row.weights[j] = scoring(LaneVec{row.logits[row.ids[j]]}).v;
  }
  meet();
}

__device__ void choose_sparse_mixer(const Row& row) {
  const RouterSettings& settings = row.params.settings;
  for (int64_t e = lane_number(); e < settings.num_experts; e += 16) {
    row.scores[e] = row.logits[e];
  }
  fill(row.open, settings.num_experts, 1);
  meet();
  if (row.largest != row.largest) {
    choose_one_by_one(row);
  } else {
    take_largest(row.scores, row.open, settings.num_experts, settings.top_k,
                 [&](int64_t n, int32_t expert) {
                   if (lane_number() == 0) row.ids[n] = expert;
                 });
  }
  meet();
  for (int64_t j = 0; j < settings.top_k; ++j) {
    const int32_t expert = row.ids[j];
    const float share = cpu::near_share<LaneVec>(row.scores, settings.num_experts,
                                                 row.logits[expert], settings.jitter);
    meet();
    if (lane_number() == 0) {
      row.weights[j] = share;
      row.scores[expert] = -cpu::kInfinity;
    }
    meet();
  }
}

/// By one thread: sums run in order of choice.
__device__ void finish_weights(const Row& row) {
  const RouterSettings& settings = row.params.settings;
  const int64_t k = settings.top_k;
  float* const weights = row.weights;
  if (settings.norm == GateNorm::kSoftmax) {
    float maximum = -cpu::kInfinity;
    for (int64_t j = 0; j < k; ++j) {
      const float logit = row.logits[row.ids[j]];
      maximum = logit > maximum ? logit : maximum;
    }
    for (int64_t j = 0; j < k; ++j) {
      weights[j] = cpu::exp(LaneVec{row.logits[row.ids[j]] - maximum}).v;
    }
  }
  float sum = 0.0f;
  for (int64_t j = 0; j < k; ++j) sum = sum + weights[j];
  if (settings.norm == GateNorm::kChosen) {
    sum = sum + settings.norm_add;
    if (sum < settings.norm_floor) sum = settings.norm_floor;
  }
  for (int64_t j = 0; j < k; ++j) {
    if (settings.norm == GateNorm::kOnes) weights[j] = 1.0f;
    if (settings.norm == GateNorm::kChosen || settings.norm == GateNorm::kSoftmax) {
      weights[j] = weights[j] / sum;
    }
    weights[j] = row.largest != row.largest ? cpu::kNan : weights[j] * row.params.scale;
  }
}

__global__ void route_kernel(cpu::RouteParams params, char* scratch, int64_t scratch_bytes) {
  const int64_t number = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 16;
  if (number >= params.num_tokens) return;
  const RouterSettings& settings = params.settings;
  auto* const floats = reinterpret_cast<float*>(scratch + number * scratch_bytes);
  float* const groups = floats + settings.num_experts;
  float* const kept_scores = groups + settings.num_groups;
  float* const kept = kept_scores + settings.num_groups;
  const float* const logits = params.logits + number * settings.num_experts;
  const Row row{.params = params,
                .logits = logits,
                .weights = params.topk_weights + number * settings.top_k,
                .ids = params.topk_idx + number * settings.top_k,
                .scores = floats,
                .groups = groups,
                .kept_scores = kept_scores,
                .kept = reinterpret_cast<int32_t*>(kept),
                .open = reinterpret_cast<uint8_t*>(kept + settings.num_groups),
                .largest = cpu::row_maximum<LaneVec>(logits, settings.num_experts)};
  if (settings.selector == GateSelector::kSparseMixer) {
    choose_sparse_mixer(row);
  } else {
    cpu::Scoring<LaneVec> scoring{settings.score, LaneVec{row.largest}, LaneVec{0.0f}};
    if (settings.score == GateScore::kSoftmax) {
      scoring.total = LaneVec{cpu::sum_of_exps(logits, settings.num_experts, scoring.maximum)};
    }
    choose_top_k(row, scoring);
  }
  if (lane_number() == 0) finish_weights(row);
}

}  // namespace

int64_t route_scratch_bytes(const RouterSettings& settings) {
  // A float for each expert, three for each group, a flag for each; rows begin at whole floats.
  return 4 * (settings.num_experts + 3 * settings.num_groups) +
         (settings.num_experts + settings.num_groups + 3) / 4 * 4;
}

void route(cudaStream_t stream, const cpu::RouteParams& params, void* scratch) {
  // Two rows a block: a step of few rows spreads over the multiprocessors.
  constexpr int64_t kRows = 2;
  launch(route_kernel, {blocks_for(params.num_tokens, kRows), kRows * 16}, stream, params,
         static_cast<char*>(scratch), route_scratch_bytes(params.settings));
}

}  // namespace switchyard::cuda
