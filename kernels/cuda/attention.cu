#include "kernels/cuda/attention.h"

#include "kernels/cpu/attention_impl.h"
#include "kernels/cuda/attention_pairs.cuh"
#include "kernels/cuda/attention_work.h"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

/// Pairs of a row and a head that a block computes; they share a key/value head, so each key and
/// value is loaded once for all of them. Sixteen threads soften the scores of a pair.
constexpr int kPairs = 8;
constexpr int kThreads = kPairs * 16;
constexpr int kKeys = static_cast<int>(kKeysPerPage);
/// Pairs for which a thread computes the score of its key.
constexpr int kPairsOfThread = kPairs * kKeys / kThreads;

/// The block's pairs and state, in shared memory.
struct State {
  Pair pairs[kPairs];
  Seen segment[kPairs];
  Seen joined[kPairs];
  float rescale[kPairs];  // what a page's new maximum does to the outputs
  int begin[kPairs];      // the keys of the page that a pair sees
  int end[kPairs];
  float scores[kPairs][kKeys];
};

/// The dynamic part: arrays whose sizes the model decides.
struct Arrays {
  float* queries;  // [kPairs, head_dim], scaled
  float* out;      // [kPairs, padded_dim], of the segment
  float* joined;   // [kPairs, padded_dim], of the segments before

  __device__ explicit Arrays(const cpu::KeyValueLayout& layout)
      : queries(dynamic_shared<float>()),
        out(queries + kPairs * layout.head_dim),
        joined(out + kPairs * layout.padded_dim) {}

  static size_t bytes(const cpu::KeyValueLayout& layout) {
    return static_cast<size_t>(kPairs * (layout.head_dim + 2 * layout.padded_dim)) * sizeof(float);
  }
};

__device__ void load_queries(const AttentionWork& work, const State& state, const Arrays& arrays) {
  const int64_t dim = work.params.layout.head_dim;
  for (int64_t i = threadIdx.x; i < kPairs * dim; i += kThreads) {
    const Pair& pair = state.pairs[i / dim];
    const float* const query =
        work.params.queries + (pair.row * work.params.num_heads + pair.head) * dim;
    arrays.queries[i] = pair.end_key > 0 ? query[i % dim] * work.params.scale : 0.0f;
  }
}

__device__ void start_segment(const AttentionWork& work, State& state, const Arrays& arrays) {
  for (int64_t i = threadIdx.x; i < kPairs * work.params.layout.padded_dim; i += kThreads) {
    arrays.out[i] = 0.0f;
  }
  if (threadIdx.x < kPairs) state.segment[threadIdx.x] = {-cpu::kInfinity, 0.0f};
}

/// scores[pair][key], each one chain over ascending dimensions. Neighbouring threads have
/// neighbouring keys, which stand side by side.
__device__ void score_keys(const AttentionWork& work, State& state, const Arrays& arrays,
                           const float* keys) {
  const int key = static_cast<int>(threadIdx.x) % kKeys;
  const int first = static_cast<int>(threadIdx.x) / kKeys * kPairsOfThread;
  const int64_t dim = work.params.layout.head_dim;
  const float* const queries = arrays.queries + first * dim;
  float sums[kPairsOfThread] = {};
  for (int64_t d = 0; d < dim; ++d) {
    const float k = keys[d * kKeys + key];
    SWITCHYARD_UNROLL
    for (int p = 0; p < kPairsOfThread; ++p) sums[p] = fmaf(queries[p * dim + d], k, sums[p]);
  }
  for (int p = 0; p < kPairsOfThread; ++p) state.scores[first + p][key] = sums[p];
}

/// Scores become exponentials; sixteen threads a pair.
__device__ void soften_scores(State& state, int64_t page) {
  const int p = static_cast<int>(threadIdx.x) / 16;
  const Pair& pair = state.pairs[p];
  const cpu::KeyRange range = keys_in_page(pair, page);
  const bool sees = range.begin < range.end;
  if (lane_number() == 0) {
    state.begin[p] = sees ? static_cast<int>(range.begin) : 0;
    state.end[p] = sees ? static_cast<int>(range.end) : 0;
    state.rescale[p] = 1.0f;
  }
  if (!sees) return;
  float* const scores = state.scores[p];
  soften_pair(scores, range, state.segment[p], state.rescale[p],
              [&](int v, LaneVec term) { term.store(scores + 16 * v); });
}

/// Adds the values of the page, weighted: a thread a column, one chain over ascending keys for each
/// pair. Keys that a pair does not see are no steps of its chain.
__device__ void add_values(const AttentionWork& work, const State& state, const Arrays& arrays,
                           const float* values) {
  const int64_t padded = work.params.layout.padded_dim;
  int first = kKeys;
  int last = 0;
  bool is_whole = true;
  for (int p = 0; p < kPairs; ++p) {
    if (state.begin[p] == state.end[p]) {
      is_whole = false;
      continue;
    }
    first = state.begin[p] < first ? state.begin[p] : first;
    last = state.end[p] > last ? state.end[p] : last;
    is_whole = is_whole && state.begin[p] == 0 && state.end[p] == kKeys;
  }
  for (int64_t c = threadIdx.x; c < padded; c += kThreads) {
    float sums[kPairs];
    SWITCHYARD_UNROLL
    for (int p = 0; p < kPairs; ++p) sums[p] = arrays.out[p * padded + c] * state.rescale[p];
    for (int key = first; key < last; ++key) {
      const float value = values[key * padded + c];
      SWITCHYARD_UNROLL
      for (int p = 0; p < kPairs; ++p) {
        if (is_whole || (key >= state.begin[p] && key < state.end[p])) {
          sums[p] = fmaf(state.scores[p][key], value, sums[p]);
        }
      }
    }
    SWITCHYARD_UNROLL
    for (int p = 0; p < kPairs; ++p) arrays.out[p * padded + c] = sums[p];
  }
}

/// Joins the segment that has just ended into what came before it.
__device__ void finish_segment(const AttentionWork& work, State& state, const Arrays& arrays,
                               int64_t segment) {
  const int64_t padded = work.params.layout.padded_dim;
  for (int64_t i = threadIdx.x; i < kPairs * padded; i += kThreads) {
    const int64_t p = i / padded;
    const Pair& pair = state.pairs[p];
    if (!pair.sees_segment(segment)) continue;
    if (segment == pair.first_key / kKeysPerSegment) {
      arrays.joined[i] = arrays.out[i];
    } else {
      const Joint joint(state.joined[p].maximum, state.segment[p].maximum);
      arrays.joined[i] = joint.join(arrays.joined[i], arrays.out[i]);
    }
  }
  __syncthreads();
  if (threadIdx.x >= kPairs) return;
  const int p = static_cast<int>(threadIdx.x);
  const Pair& pair = state.pairs[p];
  if (!pair.sees_segment(segment)) return;
  if (segment == pair.first_key / kKeysPerSegment) {
    state.joined[p] = state.segment[p];
  } else {
    const Joint joint(state.joined[p].maximum, state.segment[p].maximum);
    state.joined[p] = {joint.maximum, joint.join(state.joined[p].sum, state.segment[p].sum)};
  }
}

__device__ void store_outputs(const AttentionWork& work, const State& state, const Arrays& arrays) {
  const cpu::KeyValueLayout& layout = work.params.layout;
  for (int64_t i = threadIdx.x; i < kPairs * layout.value_dim; i += kThreads) {
    const int64_t p = i / layout.value_dim;
    const int64_t c = i % layout.value_dim;
    const Pair& pair = state.pairs[p];
    if (pair.end_key == 0) continue;
    output_of(work.params, pair)[c] = finish_output(work.params, pair.head, state.joined[p],
                                                    arrays.joined[p * layout.padded_dim + c]);
  }
}

/// Leaves the segment for join_kernel.
__device__ void store_partials(const AttentionWork& work, const State& state, const Arrays& arrays,
                               int64_t segment) {
  const int64_t padded = work.params.layout.padded_dim;
  for (int64_t i = threadIdx.x; i < kPairs * padded; i += kThreads) {
    partial_of(work, blockIdx.x, segment, i / padded)[2 + i % padded] = arrays.out[i];
  }
  if (threadIdx.x >= kPairs) return;
  float* const partial = partial_of(work, blockIdx.x, segment, threadIdx.x);
  partial[0] = state.segment[threadIdx.x].maximum;
  partial[1] = state.segment[threadIdx.x].sum;
}

/// A block an item and, where split, a segment.
__global__ void attention_kernel(AttentionWork work) {
  __shared__ State state;
  const Arrays arrays(work.params.layout);
  const RowRun run = work.rows.find(blockIdx.x);
  const int64_t kv_head = find_pairs(work, run, blockIdx.x, state.pairs);
  __syncthreads();
  load_queries(work, state, arrays);
  int64_t first_key = INT64_MAX;
  int64_t end_key = 0;
  for (const Pair& pair : state.pairs) {
    if (pair.end_key == 0) continue;
    first_key = pair.first_key < first_key ? pair.first_key : first_key;
    end_key = pair.end_key > end_key ? pair.end_key : end_key;
  }
  if (work.partials != nullptr) {
    const int64_t begin = int64_t{blockIdx.y} * kKeysPerSegment;
    first_key = first_key > begin ? first_key : begin;
    end_key = end_key < begin + kKeysPerSegment ? end_key : begin + kKeysPerSegment;
    if (first_key >= end_key) return;
  }
  const int64_t last_page = (end_key - 1) / kKeys;
  for (int64_t page = first_key / kKeys; page <= last_page; ++page) {
    if (page == first_key / kKeys || page % cpu::kPagesPerSegment == 0) {
      start_segment(work, state, arrays);
    }
    __syncthreads();
    const int64_t stored = work.rows.page_table[run.rows.first_page_entry + page];
    const float* const keys = work.params.pages + stored * work.params.layout.page_size +
                              kv_head * work.params.layout.head_size;
    score_keys(work, state, arrays, keys);
    __syncthreads();
    soften_scores(state, page);
    __syncthreads();
    add_values(work, state, arrays, keys + work.params.layout.keys_size);
    __syncthreads();
    if (page != last_page && (page + 1) % cpu::kPagesPerSegment != 0) continue;
    if (work.partials != nullptr) {
      store_partials(work, state, arrays, page / cpu::kPagesPerSegment);
    } else {
      finish_segment(work, state, arrays, page / cpu::kPagesPerSegment);
    }
    __syncthreads();
  }
  if (work.partials == nullptr) store_outputs(work, state, arrays);
}

}  // namespace

void attention(CudaQueue& queue, const cpu::AttentionParams& params,
               const cpu::PagedSequences& rows) {
  const AttentionWork work = cut_attention(queue, params, rows, kPairs);
  const int64_t blocks_per_item = work.partials == nullptr ? 1 : work.num_segments;
  launch(attention_kernel,
         {dim3(static_cast<unsigned>(work.rows.num_items), static_cast<unsigned>(blocks_per_item)),
          kThreads, Arrays::bytes(params.layout)},
         queue.stream(), work);
  join_segments(queue, work);
}

}  // namespace switchyard::cuda
