// A block's dynamic shared memory.
#pragma once

namespace switchyard::cuda {

/// The first byte of the block's dynamic shared memory, aligned to 1024 bytes (what swizzled
/// matrix operands ask for).
template <typename T>
__device__ inline T* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char switchyard_dynamic_shared[];
  return reinterpret_cast<T*>(switchyard_dynamic_shared);
}

}  // namespace switchyard::cuda
