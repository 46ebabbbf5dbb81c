// What a block of attention has seen so far: its segments and how they join.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"

namespace switchyard::cpu {

/// One block and its workspace, cut from attention_scratch_size() floats. Pairs of a row and a head
/// are numbered row by row: pair i is head i % num_heads of row i / num_heads.
template <class Vec>
struct AttentionState {
  const AttentionParams& params;
  const AttentionBlock& block;
  int64_t head_dim;
  int64_t padded_dim;
  int64_t num_pairs;
  float* queries;         // [pairs, head_dim], scaled
  float* out;             // [pairs, padded_dim], of this segment, not divided by sum
  float* joined_out;      // [pairs, padded_dim], of the segments before
  float* scores;          // [pairs, kKeysPerPage]
  float* maximum;         // [pairs], of this segment
  float* sum;             // [pairs]
  float* joined_maximum;  // [pairs]
  float* joined_sum;      // [pairs]

  AttentionState(const AttentionParams& params_in, const AttentionBlock& block_in, float* scratch)
      : params(params_in),
        block(block_in),
        head_dim(params.layout.head_dim),
        padded_dim(params.layout.padded_dim),
        num_pairs(block.num_heads * block.num_rows) {
    const auto take = [&scratch](int64_t size) {
      float* part = scratch;
      scratch += size;
      return part;
    };
    queries = take(kMaxBlockPairs * head_dim);
    out = take(kMaxBlockPairs * padded_dim);
    joined_out = take(kMaxBlockPairs * padded_dim);
    scores = take(kMaxBlockPairs * kKeysPerPage);
    maximum = take(kMaxBlockPairs);
    sum = take(kMaxBlockPairs);
    joined_maximum = take(kMaxBlockPairs);
    joined_sum = take(kMaxBlockPairs);
  }

  // Rows of padding all see the same keys: the last ones of the sequence.
  bool is_padding() const { return block.num_keys <= block.first_position; }
  /// The last position that a row of the block sees.
  int64_t last_key(int64_t row) const {
    return is_padding() ? block.num_keys - 1 : block.first_position + row;
  }
  /// The first position that a row of the block sees.
  int64_t first_key(int64_t row) const {
    const int64_t first = last_key(row) + 1 - params.window;
    return params.window == 0 || first < 0 ? 0 : first;
  }
};

template <class Vec>
void rescale_outputs(const AttentionState<Vec>& state, int64_t pair, Vec scale) {
  float* out = state.out + pair * state.padded_dim;
  for (int64_t i = 0; i < state.padded_dim; i += 16) (Vec::load(out + i) * scale).store(out + i);
  state.sum[pair] = first_lane(Vec::set1(state.sum[pair]) * scale);
}

template <class Vec>
void start_segment(const AttentionState<Vec>& state) {
  const int64_t size = state.num_pairs * state.padded_dim;
  for (int64_t i = 0; i < size; i += 16) Vec::zero().store(state.out + i);
  for (int64_t pair = 0; pair < state.num_pairs; ++pair) {
    state.maximum[pair] = -kInfinity;
    state.sum[pair] = 0.0f;
  }
}

/// joined = joined and the segment, both relative to the larger maximum.
template <class Vec>
void join_segment(const AttentionState<Vec>& state, int64_t pair) {
  const float joined = state.joined_maximum[pair];
  const float now = state.maximum[pair] > joined ? state.maximum[pair] : joined;
  const Vec old_scale = exp(Vec::set1(joined) - Vec::set1(now));
  const Vec new_scale = exp(Vec::set1(state.maximum[pair]) - Vec::set1(now));
  float* out = state.joined_out + pair * state.padded_dim;
  const float* segment = state.out + pair * state.padded_dim;
  for (int64_t i = 0; i < state.padded_dim; i += 16) {
    fma(Vec::load(segment + i), new_scale, Vec::load(out + i) * old_scale).store(out + i);
  }
  state.joined_sum[pair] = first_lane(
      fma(Vec::set1(state.sum[pair]), new_scale, Vec::set1(state.joined_sum[pair]) * old_scale));
  state.joined_maximum[pair] = now;
}

/// The first segment that a row sees needs no arithmetic to be joined: it becomes the joined one.
template <class Vec>
void move_segment(const AttentionState<Vec>& state, int64_t pair) {
  const int64_t at = pair * state.padded_dim;
  for (int64_t i = 0; i < state.padded_dim; i += 16) {
    Vec::load(state.out + at + i).store(state.joined_out + at + i);
  }
  state.joined_maximum[pair] = state.maximum[pair];
  state.joined_sum[pair] = state.sum[pair];
}

/// Joins a segment for the rows that see keys of it.
template <class Vec>
void finish_segment(const AttentionState<Vec>& state, int64_t segment) {
  const int64_t num_heads = state.block.num_heads;
  for (int64_t row = 0; row < state.block.num_rows; ++row) {
    const int64_t first_segment = state.first_key(row) / kKeysPerSegment;
    if (segment < first_segment) return;
    for (int64_t pair = row * num_heads; pair < (row + 1) * num_heads; ++pair) {
      if (segment == first_segment) {
        move_segment<Vec>(state, pair);
      } else {
        join_segment<Vec>(state, pair);
      }
    }
  }
}

template <class Vec>
void load_queries(const AttentionState<Vec>& state) {
  const int64_t num_heads = state.block.num_heads;
  const int64_t dim = state.head_dim;
  for (int64_t pair = 0; pair < state.num_pairs; ++pair) {
    const int64_t row = state.block.first_row + pair / num_heads;
    const int64_t head = state.block.first_head + pair % num_heads;
    const float* from = state.params.queries + (row * state.params.num_heads + head) * dim;
    float* to = state.queries + pair * dim;
    for (int64_t i = 0; i < dim; ++i) to[i] = from[i] * state.params.scale;
  }
}

/// Joins the sink of the pair's head: see attention().
template <class Vec>
void join_sink(const AttentionState<Vec>& state, int64_t pair) {
  const float sink = state.params.sinks[state.block.first_head + pair % state.block.num_heads];
  const float joined = state.joined_maximum[pair];
  const Vec now = Vec::set1(sink > joined ? sink : joined);
  const Vec scale = exp(Vec::set1(joined) - now);
  float* out = state.joined_out + pair * state.padded_dim;
  for (int64_t i = 0; i < state.padded_dim; i += 16) (Vec::load(out + i) * scale).store(out + i);
  state.joined_sum[pair] =
      first_lane(Vec::set1(state.joined_sum[pair]) * scale + exp(Vec::set1(sink) - now));
}

template <class Vec>
void store_outputs(const AttentionState<Vec>& state) {
  const int64_t num_heads = state.block.num_heads;
  const int64_t dim = state.params.layout.value_dim;
  for (int64_t pair = 0; pair < state.num_pairs; ++pair) {
    if (state.params.sinks != nullptr) join_sink<Vec>(state, pair);
    const int64_t row = state.block.first_row + pair / num_heads;
    const int64_t head = state.block.first_head + pair % num_heads;
    const float* from = state.joined_out + pair * state.padded_dim;
    float* to = state.params.out + (row * state.params.num_heads + head) * dim;
    const Vec sum = Vec::set1(state.joined_sum[pair]);
    int64_t i = 0;
    for (; i + 16 <= dim; i += 16) (Vec::load(from + i) / sum).store(to + i);
    if (i < dim) (Vec::load(from + i) / sum).store_partial(to + i, static_cast<int>(dim - i));
  }
}

}  // namespace switchyard::cpu
