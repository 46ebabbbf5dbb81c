#include "kernels/cuda/attention.h"

#include <algorithm>

#include "kernels/cpu/attention_impl.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/paged_rows.h"

namespace switchyard::cuda {
namespace {

/// Pairs of a row and a head that a block computes; they share a key/value head, so each key and
/// value is loaded once for all of them. Sixteen threads soften the scores of a pair.
constexpr int kPairs = 8;
constexpr int kThreads = kPairs * 16;
constexpr int kKeys = static_cast<int>(kKeysPerPage);
/// Pairs for which a thread computes the score of its key.
constexpr int kPairsOfThread = kPairs * kKeys / kThreads;

/// Whether a block walks through all segments of its pairs or takes one and leaves the joining to
/// another kernel: few rows, whose blocks would not fill the device, are split.
enum class Split : uint8_t { kNo, kBySegment };

struct Call {
  cpu::AttentionParams params;
  PagedRows rows;
  Split split;
  int64_t num_segments;  // of the longest row, where split
  float* partials;       // [items, num_segments, kPairs, padded_dim + 2], where split
};

/// What a pair has seen, in a segment or in all so far.
struct Seen {
  float maximum;
  float sum;
};

/// A pair of the block and the keys that it sees, [first_key, end_key); none if it is not there.
struct Pair {
  int64_t row;
  int64_t head;
  int64_t first_key;
  int64_t end_key;

  __device__ bool sees_segment(int64_t segment) const {
    return end_key > first_key && segment >= first_key / kKeysPerSegment &&
           segment <= (end_key - 1) / kKeysPerSegment;
  }
};

__device__ int64_t heads_per_kv_head(const cpu::AttentionParams& params) {
  return params.num_heads / params.layout.num_kv_heads;
}

/// Pair `number` of a run's key/value head: head number % heads of row number / heads.
__device__ Pair find_pair(const cpu::AttentionParams& params, const SequenceRows& rows,
                          int64_t kv_head, int64_t number) {
  const int64_t heads = heads_per_kv_head(params);
  const int64_t in_run = number / heads;
  if (in_run >= rows.num_rows) return {0, 0, 0, 0};
  const bool is_padding = rows.first_position >= rows.num_keys;
  const int64_t end = is_padding ? rows.num_keys : rows.first_position + in_run + 1;
  const int64_t first = params.window == 0 || end < params.window ? 0 : end - params.window;
  return {rows.first_row + in_run, kv_head * heads + number % heads, first, end};
}

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

__device__ void load_queries(const Call& call, const State& state, const Arrays& arrays) {
  const int64_t dim = call.params.layout.head_dim;
  for (int64_t i = threadIdx.x; i < kPairs * dim; i += kThreads) {
    const Pair& pair = state.pairs[i / dim];
    const float* const query =
        call.params.queries + (pair.row * call.params.num_heads + pair.head) * dim;
    arrays.queries[i] = pair.end_key > 0 ? query[i % dim] * call.params.scale : 0.0f;
  }
}

__device__ void start_segment(const Call& call, State& state, const Arrays& arrays) {
  for (int64_t i = threadIdx.x; i < kPairs * call.params.layout.padded_dim; i += kThreads) {
    arrays.out[i] = 0.0f;
  }
  if (threadIdx.x < kPairs) state.segment[threadIdx.x] = {-cpu::kInfinity, 0.0f};
}

/// scores[pair][key], each one chain over ascending dimensions. Neighbouring threads have
/// neighbouring keys, which stand side by side.
__device__ void score_keys(const Call& call, State& state, const Arrays& arrays,
                           const float* keys) {
  const int key = static_cast<int>(threadIdx.x) % kKeys;
  const int first = static_cast<int>(threadIdx.x) / kKeys * kPairsOfThread;
  const int64_t dim = call.params.layout.head_dim;
  const float* const queries = arrays.queries + first * dim;
  float sums[kPairsOfThread] = {};
  for (int64_t d = 0; d < dim; ++d) {
    const float k = keys[d * kKeys + key];
    SWITCHYARD_UNROLL
    for (int p = 0; p < kPairsOfThread; ++p) sums[p] = fmaf(queries[p * dim + d], k, sums[p]);
  }
  for (int p = 0; p < kPairsOfThread; ++p) state.scores[first + p][key] = sums[p];
}

/// Scores become exponentials relative to the segment's running maximum, as in cpu soften_scores();
/// sixteen threads a pair.
__device__ void soften_scores(State& state, int64_t page) {
  const int p = static_cast<int>(threadIdx.x) / 16;
  const Pair& pair = state.pairs[p];
  const int64_t begin = pair.first_key - page * kKeys;
  const int64_t end = pair.end_key - page * kKeys;
  const cpu::KeyRange range{begin < 0 ? 0 : begin, end < kKeys ? end : kKeys};
  const bool sees = range.begin < range.end;
  if (lane_number() == 0) {
    state.begin[p] = sees ? static_cast<int>(range.begin) : 0;
    state.end[p] = sees ? static_cast<int>(range.end) : 0;
    state.rescale[p] = 1.0f;
  }
  if (!sees) return;
  float* const scores = state.scores[p];
  LaneVec s[kKeys / 16];
  SWITCHYARD_UNROLL
  for (int v = 0; v < kKeys / 16; ++v) {
    s[v] =
        cpu::select_keys(range, v, LaneVec::load(scores + 16 * v), LaneVec::set1(-cpu::kInfinity));
  }
  const float before = state.segment[p].maximum;
  const float highest = reduce_max(max(max(s[0], s[1]), max(s[2], s[3])));
  const float now = highest > before ? highest : before;
  LaneVec sum = LaneVec::zero();
  SWITCHYARD_UNROLL
  for (int v = 0; v < kKeys / 16; ++v) {
    const LaneVec term =
        cpu::select_keys(range, v, cpu::exp(s[v] - LaneVec::set1(now)), LaneVec::zero());
    term.store(scores + 16 * v);
    sum = v == 0 ? term : sum + term;
  }
  const float total = reduce_add(sum);
  if (lane_number() != 0) return;
  float so_far = state.segment[p].sum;
  if (now != before) {
    state.rescale[p] = cpu::exp(LaneVec{before - now}).v;
    so_far = so_far * state.rescale[p];
  }
  state.segment[p] = {now, so_far + total};
}

/// Adds the values of the page, weighted: a thread a column, one chain over ascending keys for each
/// pair. Keys that a pair does not see are no steps of its chain.
__device__ void add_values(const Call& call, const State& state, const Arrays& arrays,
                           const float* values) {
  const int64_t padded = call.params.layout.padded_dim;
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

/// One number of a pair joined with that of its next segment.
struct Joint {
  float old_scale;
  float new_scale;
  float maximum;

  __device__ Joint(float joined, float segment) : maximum(segment > joined ? segment : joined) {
    old_scale = cpu::exp(LaneVec{joined - maximum}).v;
    new_scale = cpu::exp(LaneVec{segment - maximum}).v;
  }
  __device__ float join(float joined, float segment) const {
    return fmaf(segment, new_scale, joined * old_scale);
  }
};

/// Joins the segment that has just ended into what came before it.
__device__ void finish_segment(const Call& call, State& state, const Arrays& arrays,
                               int64_t segment) {
  const int64_t padded = call.params.layout.padded_dim;
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

/// An output, once all segments are joined: with the sink of its head, divided by the sum.
__device__ float finish_output(const cpu::AttentionParams& params, int64_t head, const Seen& seen,
                               float out) {
  if (params.sinks == nullptr) return out / seen.sum;
  const float sink = params.sinks[head];
  const float now = sink > seen.maximum ? sink : seen.maximum;
  const float scale = cpu::exp(LaneVec{seen.maximum - now}).v;
  return out * scale / (seen.sum * scale + cpu::exp(LaneVec{sink - now}).v);
}

__device__ float* output_of(const cpu::AttentionParams& params, const Pair& pair) {
  return params.out + (pair.row * params.num_heads + pair.head) * params.layout.value_dim;
}

__device__ void store_outputs(const Call& call, const State& state, const Arrays& arrays) {
  const cpu::KeyValueLayout& layout = call.params.layout;
  for (int64_t i = threadIdx.x; i < kPairs * layout.value_dim; i += kThreads) {
    const int64_t p = i / layout.value_dim;
    const int64_t c = i % layout.value_dim;
    const Pair& pair = state.pairs[p];
    if (pair.end_key == 0) continue;
    output_of(call.params, pair)[c] = finish_output(call.params, pair.head, state.joined[p],
                                                    arrays.joined[p * layout.padded_dim + c]);
  }
}

__device__ float* partial_of(const Call& call, int64_t item, int64_t segment, int64_t pair) {
  const int64_t size = call.params.layout.padded_dim + 2;
  return call.partials + ((item * call.num_segments + segment) * kPairs + pair) * size;
}

/// Leaves the segment for join_kernel.
__device__ void store_partials(const Call& call, const State& state, const Arrays& arrays,
                               int64_t segment) {
  const int64_t padded = call.params.layout.padded_dim;
  for (int64_t i = threadIdx.x; i < kPairs * padded; i += kThreads) {
    partial_of(call, blockIdx.x, segment, i / padded)[2 + i % padded] = arrays.out[i];
  }
  if (threadIdx.x >= kPairs) return;
  float* const partial = partial_of(call, blockIdx.x, segment, threadIdx.x);
  partial[0] = state.segment[threadIdx.x].maximum;
  partial[1] = state.segment[threadIdx.x].sum;
}

__device__ int64_t chunks_of(const cpu::AttentionParams& params, const SequenceRows& rows) {
  return (rows.num_rows * heads_per_kv_head(params) + kPairs - 1) / kPairs;
}

/// The pairs of an item; its key/value head.
__device__ int64_t find_pairs(const Call& call, const RowRun& run, int64_t item, Pair* pairs) {
  const int64_t local = item - run.first_item;
  const int64_t chunks = chunks_of(call.params, run.rows);
  const int64_t kv_head = local / chunks;
  if (threadIdx.x < kPairs) {
    pairs[threadIdx.x] =
        find_pair(call.params, run.rows, kv_head, local % chunks * kPairs + threadIdx.x);
  }
  return kv_head;
}

/// A block an item and, where split, a segment.
__global__ void attention_kernel(Call call) {
  __shared__ State state;
  const Arrays arrays(call.params.layout);
  const RowRun& run = call.rows.find(blockIdx.x);
  const int64_t kv_head = find_pairs(call, run, blockIdx.x, state.pairs);
  __syncthreads();
  load_queries(call, state, arrays);
  int64_t first_key = INT64_MAX;
  int64_t end_key = 0;
  for (const Pair& pair : state.pairs) {
    if (pair.end_key == 0) continue;
    first_key = pair.first_key < first_key ? pair.first_key : first_key;
    end_key = pair.end_key > end_key ? pair.end_key : end_key;
  }
  if (call.split == Split::kBySegment) {
    const int64_t begin = int64_t{blockIdx.y} * kKeysPerSegment;
    first_key = first_key > begin ? first_key : begin;
    end_key = end_key < begin + kKeysPerSegment ? end_key : begin + kKeysPerSegment;
    if (first_key >= end_key) return;
  }
  const int64_t last_page = (end_key - 1) / kKeys;
  for (int64_t page = first_key / kKeys; page <= last_page; ++page) {
    if (page == first_key / kKeys || page % cpu::kPagesPerSegment == 0) {
      start_segment(call, state, arrays);
    }
    __syncthreads();
    const int64_t stored = call.rows.page_table[run.rows.first_page_entry + page];
    const float* const keys = call.params.pages + stored * call.params.layout.page_size +
                              kv_head * call.params.layout.head_size;
    score_keys(call, state, arrays, keys);
    __syncthreads();
    soften_scores(state, page);
    __syncthreads();
    add_values(call, state, arrays, keys + call.params.layout.keys_size);
    __syncthreads();
    if (page != last_page && (page + 1) % cpu::kPagesPerSegment != 0) continue;
    if (call.split == Split::kBySegment) {
      store_partials(call, state, arrays, page / cpu::kPagesPerSegment);
    } else {
      finish_segment(call, state, arrays, page / cpu::kPagesPerSegment);
    }
    __syncthreads();
  }
  if (call.split == Split::kNo) store_outputs(call, state, arrays);
}

/// A block a pair: joins its segments in ascending order.
__global__ void join_kernel(Call call) {
  __shared__ Pair pairs[kPairs];
  const RowRun& run = call.rows.find(blockIdx.x);
  find_pairs(call, run, blockIdx.x, pairs);
  __syncthreads();
  const Pair& pair = pairs[blockIdx.y];
  if (pair.end_key == 0) return;
  const int64_t first = pair.first_key / kKeysPerSegment;
  const int64_t last = (pair.end_key - 1) / kKeysPerSegment;
  for (int64_t c = threadIdx.x; c < call.params.layout.value_dim; c += kThreads) {
    const float* partial = partial_of(call, blockIdx.x, first, blockIdx.y);
    Seen seen{partial[0], partial[1]};
    float out = partial[2 + c];
    for (int64_t segment = first + 1; segment <= last; ++segment) {
      partial = partial_of(call, blockIdx.x, segment, blockIdx.y);
      const Joint joint(seen.maximum, partial[0]);
      seen = {joint.maximum, joint.join(seen.sum, partial[1])};
      out = joint.join(out, partial[2 + c]);
    }
    output_of(call.params, pair)[c] = finish_output(call.params, pair.head, seen, out);
  }
}

/// Segments of the longest row.
int64_t most_segments(const cpu::PagedSequences& rows) {
  int64_t most = 1;
  for (const SequenceRows& sequence : rows.sequences) {
    if (sequence.num_rows == 0) continue;
    const int64_t end = std::min(sequence.first_position + sequence.num_rows, sequence.num_keys);
    most = std::max(most, (end + kKeysPerSegment - 1) / kKeysPerSegment);
  }
  return most;
}

}  // namespace

void attention(CudaQueue& queue, const cpu::AttentionParams& params,
               const cpu::PagedSequences& rows) {
  // Two blocks for each of an H100's 132 multiprocessors; partial results of at most 64 MiB.
  constexpr int64_t kFewItems = 264;
  constexpr int64_t kMostPartialBytes = int64_t{1} << 26;
  const int64_t heads = params.num_heads / params.layout.num_kv_heads;
  Call call = {};
  call.params = params;
  call.rows = upload_rows(queue, rows, [&](const SequenceRows& sequence) {
    return (sequence.num_rows * heads + kPairs - 1) / kPairs * params.layout.num_kv_heads;
  });
  call.num_segments = most_segments(rows);
  const int64_t partial_bytes = call.rows.num_items * call.num_segments * kPairs *
                                (params.layout.padded_dim + 2) * size_of(DType::kF32);
  const bool is_split = call.num_segments > 1 && call.rows.num_items < kFewItems &&
                        partial_bytes <= kMostPartialBytes;
  const auto items = static_cast<unsigned>(call.rows.num_items);
  const size_t shared_bytes = Arrays::bytes(params.layout);
  if (!is_split) {
    launch(attention_kernel, {items, kThreads, shared_bytes}, queue.stream(), call);
    return;
  }
  call.split = Split::kBySegment;
  call.partials = static_cast<float*>(queue.scratch(partial_bytes));
  launch(attention_kernel,
         {dim3(items, static_cast<unsigned>(call.num_segments)), kThreads, shared_bytes},
         queue.stream(), call);
  launch(join_kernel, {dim3(items, kPairs), kThreads}, queue.stream(), call);
}

}  // namespace switchyard::cuda
