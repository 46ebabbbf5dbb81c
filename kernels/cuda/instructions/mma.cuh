// Products of small matrices on tensor cores by whole warps: mma.sync and ldmatrix of the PTX ISA
// (sections 9.7.14.5, "Matrix Fragments for mma.m16n8k16" and "ldmatrix"), sm_80 and later.
#pragma once

#include <cstdint>

#include "kernels/cuda/instructions/async_copy.cuh"

namespace switchyard::cuda {

/// Two numbers, rounded to nearest even; `low` in the low half.
__device__ inline uint32_t pack_bf16(float low, float high) {
  uint32_t out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
__device__ inline uint32_t pack_f16(float low, float high) {
  uint32_t out;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}

/// Four 8 x 8 matrices of 16-bit numbers out of shared memory, transposed: lane 8 i + r gives the
/// address of row r of matrix i, 16 bytes; lane l gets of matrix i the elements of rows 2 (l % 4)
/// and 2 (l % 4) + 1 in column l / 4.
__device__ inline void load_transposed(const void* row, uint32_t (&out)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

/// c += a b with a [16, 16], b [16, 8], c [16, 8]. With g = lane / 4 and t = lane % 4, each
/// register of two neighbours: a of rows g, g + 8, g, g + 8 at columns 2 t, 2 t, 2 t + 8, 2 t + 8;
/// b of column g at rows 2 t and 2 t + 8; c of row g (then g + 8) at columns 2 t and 2 t + 1.
__device__ inline void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b_low,
                                     uint32_t b_high) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
}
__device__ inline void multiply_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b_low,
                                    uint32_t b_high) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
}

}  // namespace switchyard::cuda
