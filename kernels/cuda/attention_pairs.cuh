// What kernels of attention share: which keys a pair of a row and a head sees, what it has seen of
// them, and how its segments are joined.
#pragma once

#include "kernels/cpu/attention_impl.h"
#include "kernels/cuda/attention_work.h"
#include "kernels/cuda/lane_vec.cuh"

namespace switchyard::cuda {

/// What a pair has seen, in a segment or in all so far.
struct Seen {
  float maximum;
  float sum;
};

/// A pair of a row and a head and the keys that it sees, [first_key, end_key); none if it is not
/// there. In a run, neither end falls from one pair to the next.
struct Pair {
  int64_t row;
  int64_t head;
  int64_t first_key;
  int64_t end_key;

  __device__ bool sees_segment(int64_t segment) const {
    return end_key > first_key && segment >= first_segment() && segment <= last_segment();
  }
  __device__ int64_t first_segment() const { return first_key / kKeysPerSegment; }
  __device__ int64_t last_segment() const { return (end_key - 1) / kKeysPerSegment; }
};

__device__ inline int64_t heads_per_kv_head(const cpu::AttentionParams& params) {
  return params.num_heads / params.layout.num_kv_heads;
}

/// Pair `number` of a run's key/value head: head number % heads of row number / heads.
__device__ inline Pair find_pair(const cpu::AttentionParams& params, const SequenceRows& rows,
                                 int64_t kv_head, int64_t number) {
  const int64_t heads = heads_per_kv_head(params);
  const int64_t in_run = number / heads;
  if (in_run >= rows.num_rows) return {0, 0, 0, 0};
  const bool is_padding = rows.first_position >= rows.num_keys;
  const int64_t end = is_padding ? rows.num_keys : rows.first_position + in_run + 1;
  const int64_t first = params.window == 0 || end < params.window ? 0 : end - params.window;
  return {rows.first_row + in_run, kv_head * heads + number % heads, first, end};
}

/// The pairs of an item, by the block's first threads; returns its key/value head.
__device__ inline int64_t find_pairs(const AttentionWork& work, const RowRun& run, int64_t item,
                                     Pair* pairs) {
  const int64_t chunks =
      (run.rows.num_rows * heads_per_kv_head(work.params) + work.pairs - 1) / work.pairs;
  const int64_t local = item - run.first_item;
  const int64_t kv_head = local / chunks;
  if (threadIdx.x < static_cast<unsigned>(work.pairs)) {
    pairs[threadIdx.x] =
        find_pair(work.params, run.rows, kv_head, local % chunks * work.pairs + threadIdx.x);
  }
  return kv_head;
}

/// The keys of a page that a pair sees; begin < end unless there are none.
__device__ inline cpu::KeyRange keys_in_page(const Pair& pair, int64_t page) {
  const int64_t begin = pair.first_key - page * kKeysPerPage;
  const int64_t end = pair.end_key - page * kKeysPerPage;
  return {begin < 0 ? 0 : begin, end < kKeysPerPage ? end : kKeysPerPage};
}

/// A pair's scores of a page become exponentials relative to the segment's running maximum, as in
/// cpu soften_scores(), by sixteen threads: keep(v, term) gets those of keys 16 v to 16 v + 15,
/// once all scores are read. `rescale` is what the new maximum does to the outputs so far.
template <typename Keep>
__device__ void soften_pair(const float* scores, cpu::KeyRange range, Seen& seen, float& rescale,
                            const Keep& keep) {
  constexpr int kVectors = static_cast<int>(kKeysPerPage / 16);
  LaneVec s[kVectors];
  SWITCHYARD_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    s[v] =
        cpu::select_keys(range, v, LaneVec::load(scores + 16 * v), LaneVec::set1(-cpu::kInfinity));
  }
  const float before = seen.maximum;
  const float highest = reduce_max(max(max(s[0], s[1]), max(s[2], s[3])));
  const float now = highest > before ? highest : before;
  LaneVec sum = LaneVec::zero();
  SWITCHYARD_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const LaneVec term =
        cpu::select_keys(range, v, cpu::exp(s[v] - LaneVec::set1(now)), LaneVec::zero());
    keep(v, term);
    sum = v == 0 ? term : sum + term;
  }
  const float total = reduce_add(sum);
  if (lane_number() != 0) return;
  float so_far = seen.sum;
  if (now != before) {
    rescale = cpu::exp(LaneVec{before - now}).v;
    so_far = so_far * rescale;
  }
  seen = {now, so_far + total};
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

/// An output, once all segments are joined: with the sink of its head, divided by the sum.
__device__ inline float finish_output(const cpu::AttentionParams& params, int64_t head,
                                      const Seen& seen, float out) {
  if (params.sinks == nullptr) return out / seen.sum;
  const float sink = params.sinks[head];
  const float now = sink > seen.maximum ? sink : seen.maximum;
  const float scale = cpu::exp(LaneVec{seen.maximum - now}).v;
  return out * scale / (seen.sum * scale + cpu::exp(LaneVec{sink - now}).v);
}

__device__ inline float* output_of(const cpu::AttentionParams& params, const Pair& pair) {
  return params.out + (pair.row * params.num_heads + pair.head) * params.layout.value_dim;
}

/// Maximum, sum and outputs of a pair of an item in a segment.
__device__ inline float* partial_of(const AttentionWork& work, int64_t item, int64_t segment,
                                    int64_t pair) {
  const int64_t size = work.params.layout.padded_dim + 2;
  return work.partials + ((item * work.num_segments + segment) * work.pairs + pair) * size;
}

}  // namespace switchyard::cuda
