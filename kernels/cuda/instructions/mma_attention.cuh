// Matrices out of shared memory as attention takes them: ldmatrix of the PTX ISA, sm_75 and later.
#pragma once

#include <cstdint>

#include "kernels/cuda/instructions/async_copy.cuh"

namespace switchyard::cuda {

/// Four 8 x 8 matrices of 16-bit numbers: lane 8 i + r gives the address of row r of matrix i, 16
/// bytes; lane l gets of matrix i row l / 4, elements 2 (l % 4) and 2 (l % 4) + 1.
__device__ inline void load_matrices(const void* row, uint32_t (&out)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

}  // namespace switchyard::cuda
