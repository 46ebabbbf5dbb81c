// One block of attention, for any vector type of kernels/cpu/simd.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"

namespace switchyard::cpu {

inline constexpr int64_t kPagesPerSegment = kKeysPerSegment / kKeysPerPage;

/// Keys [begin, end) of a page.
struct KeyRange {
  int64_t begin;
  int64_t end;
};

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
void rescale_outputs(const AttentionState<Vec>& state, int64_t pair, Vec scale) {
  float* out = state.out + pair * state.padded_dim;
  for (int64_t i = 0; i < state.padded_dim; i += 16) (Vec::load(out + i) * scale).store(out + i);
  state.sum[pair] = first_lane(Vec::set1(state.sum[pair]) * scale);
}

/// Key 16 v + lane of a page: lanes inside the range from `a`, the others from `b`.
template <class Vec>
Vec select_keys(KeyRange range, int v, Vec a, Vec b) {
  const auto lanes_below = [v](int64_t key) {
    const int64_t lanes = key - 16 * v;
    return static_cast<int>(lanes < 0 ? 0 : lanes < 16 ? lanes : 16);
  };
  return select_first(lanes_below(range.begin), b, select_first(lanes_below(range.end), a, b));
}

/// Turns a pair's scores of a page into exponentials relative to the segment's running maximum,
/// zero outside of `range`, and brings its maximum, sum and outputs up to that maximum.
template <class Vec>
void soften_scores(const AttentionState<Vec>& state, int64_t pair, KeyRange range) {
  constexpr int kVectors = kKeysPerPage / 16;
  const bool is_masked = range.begin > 0 || range.end < kKeysPerPage;
  float* scores = state.scores + pair * kKeysPerPage;
  Vec s[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    s[v] = Vec::load(scores + 16 * v);
    if (is_masked) s[v] = select_keys(range, v, s[v], Vec::set1(-kInfinity));
  }
  const float before = state.maximum[pair];
  const float highest = reduce_max(max(max(s[0], s[1]), max(s[2], s[3])));
  const float now = highest > before ? highest : before;
  const Vec maximum = Vec::set1(now);
  Vec sum = Vec::zero();
  for (int v = 0; v < kVectors; ++v) {
    Vec term = exp(s[v] - maximum);
    // A masked score must not count even where the maximum is -inf or NaN.
    if (is_masked) term = select_keys(range, v, term, Vec::zero());
    term.store(scores + 16 * v);
    sum = v == 0 ? term : sum + term;
  }
  if (now != before) {
    rescale_outputs(state, pair, exp(Vec::set1(before) - maximum));
    state.maximum[pair] = now;
  }
  state.sum[pair] = state.sum[pair] + reduce_add(sum);
}

/// Dimensions of a page's keys that all pairs take before the next ones: 128 x 64 keys are 32 KiB
/// and stay near. The chains go on across the cuts.
inline constexpr int64_t kDimsPerPass = 128;

/// Columns of a page's values that all pairs take before the next ones: 64 x 64 are 16 KiB.
inline constexpr int64_t kColumnsPerPass = 64;

/// The scores of R pairs with the 64 keys of a page, over dimensions [first_dim, first_dim + dims).
template <class Vec, int R>
void score_tile(const AttentionState<Vec>& state, int64_t pair, const float* keys,
                int64_t first_dim, int64_t dims) {
  const TileOperands tile{state.queries + pair * state.head_dim + first_dim,
                          state.head_dim,
                          keys + first_dim * kKeysPerPage,
                          kKeysPerPage,
                          state.scores + pair * kKeysPerPage,
                          kKeysPerPage,
                          dims};
  if (first_dim == 0) {
    multiply_columns<Vec, R, ChainStart::kZero>(tile, kKeysPerPage);
  } else {
    multiply_columns<Vec, R, ChainStart::kOutput>(tile, kKeysPerPage);
  }
}

/// Some columns of a page's values and of the outputs they are added to, and the keys of the page
/// that each pair sees.
struct PageValues {
  const float* values;
  const KeyRange* ranges;
  int64_t first_column;
  int64_t num_columns;
};

/// Adds the values of some keys, weighted, to the outputs of R pairs.
template <class Vec, int R>
void add_values(const AttentionState<Vec>& state, int64_t pair, const PageValues& page,
                KeyRange range) {
  if (range.begin >= range.end) return;
  const int64_t padded = state.padded_dim;
  multiply_columns<Vec, R, ChainStart::kOutput>(
      {state.scores + pair * kKeysPerPage + range.begin, kKeysPerPage,
       page.values + range.begin * padded + page.first_column, padded,
       state.out + pair * padded + page.first_column, padded, range.end - range.begin},
      page.num_columns);
}

/// Adds the values of all keys that R pairs see: together where all see a key, else pair by pair.
template <class Vec, int R>
void value_tile(const AttentionState<Vec>& state, int64_t pair, const PageValues& page) {
  const KeyRange* ranges = page.ranges + pair;
  // Ranges ascend with the pairs.
  KeyRange common{ranges[R - 1].begin, ranges[0].end};
  if (common.begin >= common.end) common = {kKeysPerPage, kKeysPerPage};
  for (int64_t r = 0; r < R; ++r) {
    const int64_t end = ranges[r].end < common.begin ? ranges[r].end : common.begin;
    add_values<Vec, 1>(state, pair + r, page, {ranges[r].begin, end});
  }
  add_values<Vec, R>(state, pair, page, common);
  for (int64_t r = 0; r < R; ++r) {
    add_values<Vec, 1>(state, pair + r, page, {common.end, ranges[r].end});
  }
}

/// A number of pairs known at compile time.
template <int R>
struct TilePairs {
  static constexpr int kCount = R;
};

/// Calls body(first pair, TilePairs<R>) for tiles that cover pairs [0, num_pairs).
template <class Vec, class Body>
void for_each_tile(int64_t num_pairs, const Body& body) {
  int64_t pair = 0;
  for (; pair + 4 <= num_pairs; pair += 4) body(pair, TilePairs<4>());
  switch (num_pairs - pair) {
    case 3:
      return body(pair, TilePairs<3>());
    case 2:
      return body(pair, TilePairs<2>());
    case 1:
      return body(pair, TilePairs<1>());
    default:
      return;
  }
}

/// Writes the keys of a page that each pair sees and returns how many pairs see any: those of the
/// first rows, where the window of later ones begins behind the page.
template <class Vec>
int64_t find_ranges(const AttentionState<Vec>& state, int64_t page, KeyRange* ranges) {
  const int64_t num_heads = state.block.num_heads;
  for (int64_t row = 0; row < state.block.num_rows; ++row) {
    const int64_t begin = state.first_key(row) - page * kKeysPerPage;
    const int64_t end = state.last_key(row) + 1 - page * kKeysPerPage;
    if (begin >= kKeysPerPage) return row * num_heads;
    for (int64_t head = 0; head < num_heads; ++head) {
      ranges[row * num_heads + head] = {begin < 0 ? 0 : begin,
                                        end < kKeysPerPage ? end : kKeysPerPage};
    }
  }
  return state.num_pairs;
}

template <class Vec>
void attend_page(const AttentionState<Vec>& state, int64_t page, const float* keys,
                 const float* values) {
  KeyRange ranges[kMaxBlockPairs];
  const int64_t num_pairs = find_ranges(state, page, ranges);
  for (int64_t first = 0; first < state.head_dim; first += kDimsPerPass) {
    const int64_t left = state.head_dim - first;
    const int64_t dims = left < kDimsPerPass ? left : kDimsPerPass;
    for_each_tile<Vec>(num_pairs, [&](int64_t pair, auto tile) {
      score_tile<Vec, decltype(tile)::kCount>(state, pair, keys, first, dims);
    });
  }
  for (int64_t pair = 0; pair < num_pairs; ++pair) soften_scores<Vec>(state, pair, ranges[pair]);
  for (int64_t first = 0; first < state.padded_dim; first += kColumnsPerPass) {
    const int64_t left = state.padded_dim - first;
    const PageValues part{values, ranges, first, left < kColumnsPerPass ? left : kColumnsPerPass};
    for_each_tile<Vec>(num_pairs, [&](int64_t pair, auto tile) {
      value_tile<Vec, decltype(tile)::kCount>(state, pair, part);
    });
  }
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

template <class Vec>
void attention_block(const AttentionParams& params, const AttentionBlock& block, float* scratch) {
  const AttentionState<Vec> state(params, block, scratch);
  const KeyValueLayout& layout = params.layout;
  const int64_t kv_head = block.first_head / (params.num_heads / layout.num_kv_heads);
  const int64_t first_page = state.first_key(0) / kKeysPerPage;
  const int64_t last_page = state.last_key(0) / kKeysPerPage;
  load_queries<Vec>(state);
  for (int64_t page = first_page; page <= last_page; ++page) {
    if (page == first_page || page % kPagesPerSegment == 0) start_segment<Vec>(state);
    const int64_t stored = block.page_table[page];
    const float* keys = params.pages + stored * layout.page_size + kv_head * layout.head_size;
    attend_page<Vec>(state, page, keys, keys + layout.keys_size);
    if (page == last_page || (page + 1) % kPagesPerSegment == 0) {
      finish_segment<Vec>(state, page / kPagesPerSegment);
    }
  }
  store_outputs<Vec>(state);
}

}  // namespace switchyard::cpu
