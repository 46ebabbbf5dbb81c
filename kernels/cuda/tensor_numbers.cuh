// The numbers that tensor cores multiply.
#pragma once

#include "kernels/cuda/instructions/mma.cuh"
#include "kernels/cuda/instructions/warpgroup.cuh"

namespace switchyard::cuda {

/// What operands are rounded to.
struct Bf16Numbers {
  static constexpr uint16_t kExponent = 0x7F80;  // all of it is set in what is not finite
  __device__ static uint32_t pack(float low, float high) { return pack_bf16(low, high); }
  __device__ static void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t low,
                                  uint32_t high) {
    multiply_bf16(c, a, low, high);
  }
  template <int kCount>
  __device__ static void multiply(float (&c)[kCount], MatrixOperand weights, MatrixOperand rows) {
    multiply_warpgroup_bf16(c, weights, rows);
  }
};
struct Fp16Numbers {
  static constexpr uint16_t kExponent = 0x7C00;
  __device__ static uint32_t pack(float low, float high) { return pack_f16(low, high); }
  __device__ static void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t low,
                                  uint32_t high) {
    multiply_f16(c, a, low, high);
  }
  template <int kCount>
  __device__ static void multiply(float (&c)[kCount], MatrixOperand weights, MatrixOperand rows) {
    multiply_warpgroup_f16(c, weights, rows);
  }
};

}  // namespace switchyard::cuda
