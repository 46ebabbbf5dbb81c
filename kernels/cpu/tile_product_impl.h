// Products of small matrices, for any vector type of kernels/cpu/simd.
#pragma once

#include <cstdint>

namespace switchyard::cpu {

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

}  // namespace switchyard::cpu
