// The emulation's form of kernels/cuda/instructions/shared_memory.cuh.
#pragma once

#include "tests/cuda_emulation/block.h"

namespace switchyard::cuda {

template <typename T>
inline T* dynamic_shared() {
  return static_cast<T*>(cuda_emulation::dynamic_shared_memory());
}

}  // namespace switchyard::cuda
