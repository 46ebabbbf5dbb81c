// Steps of attention on tensor cores by a block of four warps: up to 16 kTiles pairs of a row and a
// head with the 64 keys of a page. For scores a warp takes 16 of the keys, for outputs every fourth
// 16 columns of the values, so that each key and value is read from shared memory once for all
// pairs; the weights of the keys pass from warp to warp through shared memory.
#pragma once

#include "kernels/cuda/attention_pairs.cuh"
#include "kernels/cuda/instructions/async_copy.cuh"
#include "kernels/cuda/instructions/mma_attention.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_attention.h"
#include "kernels/cuda/tensor_weights.cuh"

namespace switchyard::cuda {

inline constexpr int kAttentionWarps = 4;
inline constexpr int kAttentionThreads = 32 * kAttentionWarps;
inline constexpr int kPageKeys = static_cast<int>(kKeysPerPage);
/// Numbers behind each row in shared memory: rows are an odd number of 16 bytes apart, so that the
/// 8 rows of a matrix lie on different banks.
inline constexpr int kRowPadding = 8;
/// From the scores of a pair to the next: likewise, for its weights take their place.
inline constexpr int kScoreStride = kPageKeys + 12;
inline constexpr int kWeightStride = 2 * kScoreStride;

/// The block's pairs and what they have seen.
template <int kTiles>
struct TensorState {
  static constexpr int kPairs = 16 * kTiles;
  Pair pairs[kPairs];
  Seen segment[kPairs];
  Seen joined[kPairs];
  float rescale[kPairs];  // what a page's new maximum does to the outputs
  int has_non_finite;     // among the page's values
};

/// Where matrices stand in a block's dynamic shared memory.
struct TensorArrays {
  int query_stride;
  int value_stride;   // of staged values
  int stage_size;     // of a page: keys, then values unless these are prefixes
  uint16_t* queries;  // [pairs, query_stride], scaled
  float* scores;      // [pairs, kScoreStride]
  uint16_t* pages;    // [stages, stage_size]

  __device__ TensorArrays(const TensorKeyValueLayout& layout, int pairs)
      : query_stride(static_cast<int>(layout.key_stride) + kRowPadding),
        value_stride(layout.value_stride == 0
                         ? query_stride
                         : static_cast<int>(layout.value_stride) + kRowPadding),
        stage_size(kPageKeys * (query_stride + (layout.value_stride == 0 ? 0 : value_stride))),
        queries(dynamic_shared<uint16_t>()),
        scores(reinterpret_cast<float*>(queries + pairs * query_stride)),
        pages(reinterpret_cast<uint16_t*>(scores + pairs * kScoreStride)) {}

  __device__ const uint16_t* weights() const { return reinterpret_cast<const uint16_t*>(scores); }
  __device__ uint16_t* weights() { return reinterpret_cast<uint16_t*>(scores); }
  __device__ uint16_t* keys(int stage) const { return pages + stage * stage_size; }
  __device__ uint16_t* values(int stage) const {
    const bool is_prefix = stage_size == kPageKeys * query_stride;
    return keys(stage) + (is_prefix ? 0 : kPageKeys * query_stride);
  }
};

/// A thread's part of the outputs: of each 16 pairs, each of the warp's 16 columns, two products of
/// 16 x 8 (see multiply_bf16()).
template <int kTiles, int kGroups>
using TensorOutputs = float[kTiles][kGroups][2][4];

__device__ inline int warp_number() { return static_cast<int>(threadIdx.x / 32); }
__device__ inline int warp_lane() { return static_cast<int>(threadIdx.x % 32); }

/// Copies rows [begin, end) of 64 stored ones, of `size` numbers, and zeros for the others: what
/// nobody sees may be anything, and weighs 0.
__device__ inline void stage_rows(const uint16_t* from, int size, uint16_t* to, int stride,
                                  cpu::KeyRange range) {
  const int chunks = size / 8;
  for (int i = static_cast<int>(threadIdx.x); i < kPageKeys * chunks; i += kAttentionThreads) {
    const int key = i / chunks;
    uint16_t* const place = to + key * stride + i % chunks * 8;
    if (key >= range.begin && key < range.end) {
      copy_async_16(place, from + static_cast<int64_t>(i) * 8);
    } else {
      *reinterpret_cast<uint4*>(place) = make_uint4(0, 0, 0, 0);
    }
  }
}

template <typename Numbers>
__device__ void load_queries(const cpu::AttentionParams& params, const Pair* pairs, int num_pairs,
                             const TensorArrays& arrays) {
  const int dim = static_cast<int>(params.layout.head_dim);
  const int half = arrays.query_stride / 2;
  for (int i = static_cast<int>(threadIdx.x); i < num_pairs * half; i += kAttentionThreads) {
    const Pair& pair = pairs[i / half];
    const float* const query = params.queries + (pair.row * params.num_heads + pair.head) * dim;
    const int d = i % half * 2;
    const bool is_there = pair.end_key > 0;
    const float low = is_there && d < dim ? query[d] * params.scale : 0.0f;
    const float high = is_there && d + 1 < dim ? query[d + 1] * params.scale : 0.0f;
    reinterpret_cast<uint32_t*>(arrays.queries)[i] = Numbers::pack(low, high);
  }
}

/// The scores of all pairs with the warp's 16 keys.
template <typename Numbers, int kTiles>
__device__ void score_keys(const TensorArrays& arrays, const uint16_t* keys) {
  const int lane = warp_lane();
  const int stride = arrays.query_stride;
  const uint16_t* const left = arrays.queries + lane % 16 * stride + lane / 16 * 8;
  const uint16_t* const right =
      keys + (warp_number() * 16 + lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8;
  float sums[kTiles][2][4] = {};
  for (int d = 0; d < stride - kRowPadding; d += 16) {
    uint32_t b[4];
    load_matrices(right + d, b);
    SWITCHYARD_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      uint32_t a[4];
      load_matrices(left + tile * 16 * stride + d, a);
      Numbers::multiply(sums[tile][0], a, b[0], b[1]);
      Numbers::multiply(sums[tile][1], a, b[2], b[3]);
    }
  }
  float* const out = arrays.scores + lane / 4 * kScoreStride + warp_number() * 16 + lane % 4 * 2;
  SWITCHYARD_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    SWITCHYARD_UNROLL
    for (int half = 0; half < 2; ++half) {
      const float(&c)[4] = sums[tile][half];
      float* const to = out + tile * 16 * kScoreStride + half * 8;
      *reinterpret_cast<float2*>(to) = make_float2(c[0], c[1]);
      *reinterpret_cast<float2*>(to + 8 * kScoreStride) = make_float2(c[2], c[3]);
    }
  }
}

/// Scores become weights, in their place; sixteen threads a pair.
template <typename Numbers, int kTiles>
__device__ void soften_scores(TensorState<kTiles>& state, TensorArrays& arrays, int64_t page) {
  for (int p = static_cast<int>(threadIdx.x) / 16; p < state.kPairs; p += kAttentionThreads / 16) {
    uint16_t* const weights = arrays.weights() + p * kWeightStride;
    const cpu::KeyRange range = keys_in_page(state.pairs[p], page);
    if (lane_number() == 0) state.rescale[p] = 1.0f;
    if (range.begin >= range.end) {
      for (int v = 0; v < kPageKeys / 16; ++v) weights[16 * v + lane_number()] = 0;
      continue;
    }
    soften_pair(arrays.scores + p * kScoreStride, range, state.segment[p], state.rescale[p],
                [&](int v, LaneVec term) {
                  weights[16 * v + lane_number()] =
                      static_cast<uint16_t>(Numbers::pack(term.v, 0.0f));
                });
  }
}

template <int kTiles, int kGroups>
__device__ void rescale_outputs(const TensorState<kTiles>& state,
                                TensorOutputs<kTiles, kGroups>& out) {
  SWITCHYARD_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    const float first = state.rescale[tile * 16 + warp_lane() / 4];
    const float second = state.rescale[tile * 16 + warp_lane() / 4 + 8];
    SWITCHYARD_UNROLL
    for (int i = 0; i < 2 * kGroups; ++i) {
      float(&c)[4] = out[tile][i / 2][i % 2];
      c[0] = c[0] * first;
      c[1] = c[1] * first;
      c[2] = c[2] * second;
      c[3] = c[3] * second;
    }
  }
}

/// The warp's columns: group `i` begins here. May lie behind the last column.
__device__ inline int first_column(int i) { return (warp_number() + i * kAttentionWarps) * 16; }

/// Adds the page's values, weighted.
template <typename Numbers, int kTiles, int kGroups>
__device__ void add_values(const TensorArrays& arrays, const uint16_t* values, int num_columns,
                           TensorOutputs<kTiles, kGroups>& out) {
  const int lane = warp_lane();
  const int half = lane / 16 * 8;
  SWITCHYARD_UNROLL
  for (int key = 0; key < kPageKeys; key += 16) {
    uint32_t a[kTiles][4];
    SWITCHYARD_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      load_matrices(arrays.weights() + (tile * 16 + lane % 16) * kWeightStride + key + half,
                    a[tile]);
    }
    SWITCHYARD_UNROLL
    for (int group = 0; group < kGroups; ++group) {
      if (first_column(group) >= num_columns) continue;
      uint32_t b[4];
      load_transposed(values + (key + lane % 16) * arrays.value_stride + first_column(group) + half,
                      b);
      SWITCHYARD_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        Numbers::multiply(out[tile][group][0], a[tile], b[0], b[1]);
        Numbers::multiply(out[tile][group][1], a[tile], b[2], b[3]);
      }
    }
  }
}

/// The two numbers of keys `key` and key + 1, zero outside of the range.
__device__ inline uint32_t keep_seen(uint32_t both, int key, cpu::KeyRange range) {
  const bool low = key >= range.begin && key < range.end;
  const bool high = key + 1 >= range.begin && key + 1 < range.end;
  return both & ((low ? 0xFFFFu : 0u) | (high ? 0xFFFF0000u : 0u));
}

/// add_values() where some values are not finite and not all pairs see the same keys: a weight of 0
/// does not keep such a value out, so each pair is computed with the values that it sees alone.
template <typename Numbers, int kTiles, int kGroups>
__device__ void add_values_apart(const TensorState<kTiles>& state, int64_t page,
                                 const TensorArrays& arrays, const uint16_t* values,
                                 int num_columns, TensorOutputs<kTiles, kGroups>& out) {
  const int lane = warp_lane();
  const int half = lane / 16 * 8;
  SWITCHYARD_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    SWITCHYARD_UNROLL
    for (int group = 0; group < kGroups; ++group) {
      if (first_column(group) >= num_columns) continue;
      float(&mine)[2][4] = out[tile][group];
      float before[8];
      SWITCHYARD_UNROLL
      for (int i = 0; i < 8; ++i) before[i] = mine[i / 4][i % 4];
      for (int row = 0; row < 16; ++row) {
        const cpu::KeyRange range = keys_in_page(state.pairs[tile * 16 + row], page);
        float c[2][4];
        SWITCHYARD_UNROLL
        for (int i = 0; i < 8; ++i) c[i / 4][i % 4] = before[i];
        for (int key = 0; key < kPageKeys; key += 16) {
          uint32_t a[4];
          uint32_t b[4];
          load_matrices(arrays.weights() + (tile * 16 + lane % 16) * kWeightStride + key + half, a);
          load_transposed(
              values + (key + lane % 16) * arrays.value_stride + first_column(group) + half, b);
          SWITCHYARD_UNROLL
          for (int i = 0; i < 4; ++i) {
            b[i] = keep_seen(b[i], key + i % 2 * 8 + lane % 4 * 2, range);
          }
          Numbers::multiply(c[0], a, b[0], b[1]);
          Numbers::multiply(c[1], a, b[2], b[3]);
        }
        SWITCHYARD_UNROLL
        for (int i = 0; i < 8; ++i) {
          if (lane / 4 + i / 2 % 2 * 8 == row) mine[i / 4][i % 4] = c[i / 4][i % 4];
        }
      }
    }
  }
}

/// Whether any of a thread's share of staged values is not finite.
template <typename Numbers>
__device__ bool finds_non_finite(const uint16_t* values, int stride, int num_columns) {
  bool found = false;
  for (int i = static_cast<int>(threadIdx.x); i < kPageKeys * num_columns; i += kAttentionThreads) {
    const uint16_t bits = values[i / num_columns * stride + i % num_columns];
    found = found || (bits & Numbers::kExponent) == Numbers::kExponent;
  }
  return found;
}

}  // namespace switchyard::cuda
