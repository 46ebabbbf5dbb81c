// One block of attention, for any vector type of kernels/cpu/simd.
#pragma once

#include "kernels/base/device_code.h"
#include "kernels/cpu/attention_state_impl.h"
#include "kernels/cpu/tile_product_impl.h"

namespace switchyard::cpu {

inline constexpr int64_t kPagesPerSegment = kKeysPerSegment / kKeysPerPage;

/// Keys [begin, end) of a page.
struct KeyRange {
  int64_t begin;
  int64_t end;
};

/// Key 16 v + lane of a page: lanes inside the range from `a`, the others from `b`.
template <class Vec>
SWITCHYARD_DEVICE Vec select_keys(KeyRange range, int v, Vec a, Vec b) {
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
