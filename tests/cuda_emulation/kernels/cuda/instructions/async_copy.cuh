// The emulation's form of kernels/cuda/instructions/async_copy.cuh. Copies are made as late as the
// instructions allow, when their group is waited for, so that a wait that is missing shows.
#pragma once

#include <cstdint>

#include "tests/cuda_emulation/block.h"

namespace switchyard::cuda {

inline void copy_async_16(void* shared, const void* global) {
  cuda_emulation::require(reinterpret_cast<uintptr_t>(shared) % 16 == 0 &&
                              reinterpret_cast<uintptr_t>(global) % 16 == 0,
                          "an asynchronous copy is not aligned");
  cuda_emulation::start_copy(shared, global, 16);
}

inline void commit_copies() { cuda_emulation::commit_copies(); }

template <int kLeft>
void wait_for_copies() {
  cuda_emulation::wait_for_copies(kLeft);
}

}  // namespace switchyard::cuda
