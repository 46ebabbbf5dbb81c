// Rows so long that a block takes each: all its threads bring it into shared memory, sixteen sum it
// there in the CPU's lanes, all write what becomes of it.
//
// Sixteen threads alone would wait for memory as often as a row has sixteen columns, 20 us with
// 4,096 of them; steps of few rows consist of such waiting.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {

inline constexpr int kRowThreads = 256;

/// Whether a row of so many columns is long, and fits.
constexpr bool is_wide_row(int64_t width) { return width >= 512 && width <= 24 * 1024; }

constexpr size_t wide_row_bytes(int64_t width) {
  return static_cast<size_t>(width) * sizeof(float);
}

/// A copy of the row for all threads of the block.
__device__ inline const float* bring_row(const float* x, int64_t width) {
  float* const row = dynamic_shared<float>();
  for (int64_t i = threadIdx.x; i < width; i += kRowThreads) row[i] = x[i];
  __syncthreads();
  return row;
}

}  // namespace switchyard::cuda
