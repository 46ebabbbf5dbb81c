// Searches by all threads of a block.
#pragma once

#include <cstdint>

namespace switchyard::cuda {

/// A number and where it stands.
struct Ranked {
  float value;
  int32_t id;  // -1: none
};

/// Whether `a` goes before `b`: the larger number, the lower id at a tie. None goes last.
__device__ inline bool goes_before(const Ranked& a, const Ranked& b) {
  if (a.id < 0 || b.id < 0) return b.id < 0 && a.id >= 0;
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

/// The first of all threads' candidates, by every thread. `shared` has a place for each warp. All
/// threads of the block call it; blocks are whole warps.
__device__ inline Ranked first_of_block(Ranked mine, Ranked* shared) {
  for (int width = 16; width >= 1; width /= 2) {
    Ranked other;
    other.value = __shfl_xor_sync(0xFFFFFFFFu, mine.value, width);
    other.id = __shfl_xor_sync(0xFFFFFFFFu, mine.id, width);
    if (goes_before(other, mine)) mine = other;
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = mine;
  __syncthreads();
  Ranked first = shared[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) {
    if (goes_before(shared[warp], first)) first = shared[warp];
  }
  return first;
}

}  // namespace switchyard::cuda
