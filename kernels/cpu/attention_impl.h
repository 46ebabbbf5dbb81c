// One block of attention, for any vector type of kernels/cpu/simd.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"

namespace switchyard::cpu {

inline constexpr int64_t kPagesPerSegment = kKeysPerSegment / kKeysPerPage;

/// The workspace of one block, cut from attention_scratch_size() floats.
template <class Vec>
struct AttentionState {
  int64_t head_dim;
  int64_t padded_dim;
  float* queries;         // [rows, head_dim], scaled
  float* out;             // [rows, padded_dim], of this segment, not divided by sum
  float* joined_out;      // [rows, padded_dim], of the segments before
  float* scores;          // [tile rows, kKeysPerPage]
  float* maximum;         // [rows], of this segment
  float* sum;             // [rows]
  float* joined_maximum;  // [rows]
  float* joined_sum;      // [rows]

  AttentionState(const KeyValueLayout& layout, float* scratch)
      : head_dim(layout.head_dim), padded_dim(layout.padded_dim) {
    const auto take = [&scratch](int64_t size) {
      float* part = scratch;
      scratch += size;
      return part;
    };
    queries = take(kKeysPerPage * layout.padded_dim);
    out = take(kKeysPerPage * layout.padded_dim);
    joined_out = take(kKeysPerPage * layout.padded_dim);
    scores = take(kKeysPerPage * 8);
    maximum = take(kKeysPerPage);
    sum = take(kKeysPerPage);
    joined_maximum = take(kKeysPerPage);
    joined_sum = take(kKeysPerPage);
  }
};

/// A product of small matrices: c[r][0, 16 V) (+)= sum over k of a[r][k] * b[k][0, 16 V), each one
/// fma chain over ascending k; depth is at least 1. R * V accumulators stay in registers.
struct TileOperands {
  const float* a;
  int64_t a_stride;
  const float* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  int64_t depth;
};

/// What a chain starts from.
enum class ChainStart { kZero, kOutput };

template <class Vec, int R, int V, ChainStart kStart>
void multiply_tile(const TileOperands t) {
  Vec sums[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) {
      sums[r][v] =
          kStart == ChainStart::kZero ? Vec::zero() : Vec::load(t.c + r * t.c_stride + v * 16);
    }
  }
  int64_t k = 0;
  do {  // tested at the end: a way around the loop would make the compiler spill the sums
    Vec b[V];
    for (int v = 0; v < V; ++v) b[v] = Vec::load(t.b + k * t.b_stride + v * 16);
    for (int r = 0; r < R; ++r) {
      const Vec a = Vec::set1(t.a[r * t.a_stride + k]);
      for (int v = 0; v < V; ++v) sums[r][v] = fma(a, b[v], sums[r][v]);
    }
  } while (++k < t.depth);
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) sums[r][v].store(t.c + r * t.c_stride + v * 16);
  }
}

/// Vectors of a tile's row. One register to a vector: 4 rows x 4 accumulators of the 32 registers.
/// Two to a vector (AVX2, and the portable code is compiled alike): 4 rows x 1, 8 of the 16.
template <class Vec>
inline constexpr int kTileVectors = alignof(Vec) == 64 ? 4 : 1;

/// multiply_tile for any number of columns that is a multiple of 16.
template <class Vec, int R, ChainStart kStart>
void multiply_columns(TileOperands t, int64_t columns) {
  constexpr int V = kTileVectors<Vec>;
  for (; columns >= 16 * V; columns -= 16 * V) {
    multiply_tile<Vec, R, V, kStart>(t);
    t.b += 16 * V;
    t.c += 16 * V;
  }
  for (; columns > 0; columns -= 16) {
    multiply_tile<Vec, R, 1, kStart>(t);
    t.b += 16;
    t.c += 16;
  }
}

template <class Vec>
void rescale_outputs(const AttentionState<Vec>& state, int64_t row, Vec scale) {
  float* out = state.out + row * state.padded_dim;
  for (int64_t i = 0; i < state.padded_dim; i += 16) (Vec::load(out + i) * scale).store(out + i);
  state.sum[row] = first_lane(Vec::set1(state.sum[row]) * scale);
}

/// Turns a row of scores into exponentials relative to the segment's running maximum, zero from
/// key `limit` on, and brings the row's maximum, sum and outputs up to that maximum.
template <class Vec>
void soften_scores(const AttentionState<Vec>& state, int64_t row, int64_t limit, float* scores) {
  constexpr int kVectors = kKeysPerPage / 16;
  const Vec lowest = Vec::set1(-kInfinity);
  const auto keys_in = [limit](int v) {
    const int64_t left = limit - 16 * v;
    return static_cast<int>(left < 0 ? 0 : left < 16 ? left : 16);
  };
  Vec s[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    s[v] = Vec::load(scores + 16 * v);
    if (limit < kKeysPerPage) s[v] = select_first(keys_in(v), s[v], lowest);
  }
  const float before = state.maximum[row];
  const float highest = reduce_max(max(max(s[0], s[1]), max(s[2], s[3])));
  const float now = highest > before ? highest : before;
  const Vec maximum = Vec::set1(now);
  Vec sum = Vec::zero();
  for (int v = 0; v < kVectors; ++v) {
    Vec term = exp(s[v] - maximum);
    // A masked score must not count even where the maximum is -inf or NaN.
    if (limit < kKeysPerPage) term = select_first(keys_in(v), term, Vec::zero());
    term.store(scores + 16 * v);
    sum = v == 0 ? term : sum + term;
  }
  if (now != before) {
    rescale_outputs(state, row, exp(Vec::set1(before) - maximum));
    state.maximum[row] = now;
  }
  state.sum[row] = state.sum[row] + reduce_add(sum);
}

/// Rows [first, first + R) of the block against one page. Row first + r sees the page's keys
/// [0, limits.first + r * limits.step).
struct KeyLimits {
  int64_t first;
  int64_t step;  // 1 in the page where the rows are and no padding, else 0
};

template <class Vec, int R>
void attend_tile(const AttentionState<Vec>& state, int64_t first, const float* keys,
                 const float* values, KeyLimits limits) {
  const int64_t padded = state.padded_dim;
  multiply_columns<Vec, R, ChainStart::kZero>(
      {state.queries + first * state.head_dim, state.head_dim, keys, kKeysPerPage, state.scores,
       kKeysPerPage, state.head_dim},
      kKeysPerPage);
  for (int64_t r = 0; r < R; ++r) {
    soften_scores<Vec>(state, first + r, limits.first + r * limits.step,
                       state.scores + r * kKeysPerPage);
  }
  multiply_columns<Vec, R, ChainStart::kOutput>({state.scores, kKeysPerPage, values, padded,
                                                 state.out + first * padded, padded, limits.first},
                                                padded);
  for (int64_t r = 1; r < R && limits.step > 0; ++r) {
    multiply_columns<Vec, 1, ChainStart::kOutput>(
        {state.scores + r * kKeysPerPage + limits.first, kKeysPerPage,
         values + limits.first * padded, padded, state.out + (first + r) * padded, padded, r},
        padded);
  }
}

template <class Vec>
void attend_page(const AttentionState<Vec>& state, int64_t num_rows, const float* keys,
                 const float* values, KeyLimits limits) {
  constexpr int64_t kTileRows = 4;
  for (int64_t row = 0; row < num_rows; row += kTileRows) {
    const KeyLimits tile{limits.first + row * limits.step, limits.step};
    switch (num_rows - row) {
      case 1:
        attend_tile<Vec, 1>(state, row, keys, values, tile);
        break;
      case 2:
        attend_tile<Vec, 2>(state, row, keys, values, tile);
        break;
      case 3:
        attend_tile<Vec, 3>(state, row, keys, values, tile);
        break;
      default:
        attend_tile<Vec, kTileRows>(state, row, keys, values, tile);
        break;
    }
  }
}

template <class Vec>
void start_segment(const AttentionState<Vec>& state, int64_t num_rows) {
  for (int64_t i = 0; i < num_rows * state.padded_dim; i += 16) Vec::zero().store(state.out + i);
  for (int64_t row = 0; row < num_rows; ++row) {
    state.maximum[row] = -kInfinity;
    state.sum[row] = 0.0f;
  }
}

/// joined = joined and the segment, both relative to the larger maximum.
template <class Vec>
void join_segment(const AttentionState<Vec>& state, int64_t num_rows) {
  for (int64_t row = 0; row < num_rows; ++row) {
    const float joined = state.joined_maximum[row];
    const float now = state.maximum[row] > joined ? state.maximum[row] : joined;
    const Vec old_scale = exp(Vec::set1(joined) - Vec::set1(now));
    const Vec new_scale = exp(Vec::set1(state.maximum[row]) - Vec::set1(now));
    float* out = state.joined_out + row * state.padded_dim;
    const float* segment = state.out + row * state.padded_dim;
    for (int64_t i = 0; i < state.padded_dim; i += 16) {
      fma(Vec::load(segment + i), new_scale, Vec::load(out + i) * old_scale).store(out + i);
    }
    state.joined_sum[row] = first_lane(
        fma(Vec::set1(state.sum[row]), new_scale, Vec::set1(state.joined_sum[row]) * old_scale));
    state.joined_maximum[row] = now;
  }
}

/// The first segment needs no arithmetic to be joined: it becomes the joined one.
template <class Vec>
void move_segment(const AttentionState<Vec>& state, int64_t num_rows) {
  for (int64_t i = 0; i < num_rows * state.padded_dim; i += 16) {
    Vec::load(state.out + i).store(state.joined_out + i);
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    state.joined_maximum[row] = state.maximum[row];
    state.joined_sum[row] = state.sum[row];
  }
}

template <class Vec>
void load_queries(const AttentionParams& params, const AttentionBlock& block,
                  const AttentionState<Vec>& state) {
  const int64_t stride = params.num_heads * state.head_dim;
  for (int64_t row = 0; row < block.num_rows; ++row) {
    const float* from =
        params.queries + (block.first_row + row) * stride + block.head * state.head_dim;
    float* to = state.queries + row * state.head_dim;
    for (int64_t i = 0; i < state.head_dim; ++i) to[i] = from[i] * params.scale;
  }
}

template <class Vec>
void store_outputs(const AttentionParams& params, const AttentionBlock& block,
                   const AttentionState<Vec>& state) {
  const int64_t stride = params.num_heads * state.head_dim;
  for (int64_t row = 0; row < block.num_rows; ++row) {
    const float* from = state.joined_out + row * state.padded_dim;
    float* to = params.out + (block.first_row + row) * stride + block.head * state.head_dim;
    const Vec sum = Vec::set1(state.joined_sum[row]);
    int64_t i = 0;
    for (; i + 16 <= state.head_dim; i += 16) (Vec::load(from + i) / sum).store(to + i);
    if (i < state.head_dim) {
      (Vec::load(from + i) / sum).store_partial(to + i, static_cast<int>(state.head_dim - i));
    }
  }
}

template <class Vec>
void attention_block(const AttentionParams& params, const AttentionBlock& block, float* scratch) {
  const AttentionState<Vec> state(params.layout, scratch);
  const int64_t kv_head = block.head / (params.num_heads / params.layout.num_kv_heads);
  // Rows of padding all see the same keys: those of the sequence.
  const bool is_padding = block.num_keys <= block.first_position;
  const int64_t last_key = is_padding ? block.num_keys - 1 : block.first_position;
  const int64_t last_page = last_key / kKeysPerPage;
  load_queries<Vec>(params, block, state);
  for (int64_t page = 0; page <= last_page; ++page) {
    if (page % kPagesPerSegment == 0) start_segment<Vec>(state, block.num_rows);
    const int64_t stored = block.page_table[page];
    const float* keys =
        params.pages + stored * params.layout.page_size + kv_head * params.layout.head_size;
    const float* values = keys + params.layout.keys_size;
    const KeyLimits limits = page < last_page
                                 ? KeyLimits{kKeysPerPage, 0}
                                 : KeyLimits{last_key % kKeysPerPage + 1, is_padding ? 0 : 1};
    attend_page<Vec>(state, block.num_rows, keys, values, limits);
    if (page == last_page || (page + 1) % kPagesPerSegment == 0) {
      if (page < kPagesPerSegment) {
        move_segment<Vec>(state, block.num_rows);
      } else {
        join_segment<Vec>(state, block.num_rows);
      }
    }
  }
  store_outputs<Vec>(params, block, state);
}

}  // namespace switchyard::cpu
