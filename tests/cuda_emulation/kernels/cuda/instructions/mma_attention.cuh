// The emulation's form of kernels/cuda/instructions/mma_attention.cuh.
#pragma once

#include <cstdint>
#include <cstring>

#include "tests/cuda_emulation/block.h"

namespace switchyard::cuda {

inline void load_matrices(const void* row, uint32_t (&out)[4]) {
  cuda_emulation::require(reinterpret_cast<uintptr_t>(row) % 16 == 0, "a matrix is not aligned");
  struct Lane {
    const void* row;
    uint32_t* out;
  };
  Lane mine{row, out};
  cuda_emulation::warp_collective(0xFFFFFFFFu, &mine, [](void** lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        const auto* const from = static_cast<const Lane*>(lanes[8 * matrix + lane / 4]);
        std::memcpy(static_cast<Lane*>(lanes[lane])->out + matrix,
                    static_cast<const char*>(from->row) + lane % 4 * 4, 4);
      }
    }
  });
}

}  // namespace switchyard::cuda
