// The emulation's form of kernels/cuda/instructions/mma.cuh. Sums are of doubles, rounded once.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/base/dtype.h"
#include "tests/cuda_emulation/block.h"

namespace switchyard::cuda {

inline uint32_t pack_bf16(float low, float high) {
  return f32_to_bf16(low) | uint32_t{f32_to_bf16(high)} << 16;
}
inline uint32_t pack_f16(float low, float high) {
  return f32_to_f16(low) | uint32_t{f32_to_f16(high)} << 16;
}

inline void load_transposed(const void* row, uint32_t (&out)[4]) {
  cuda_emulation::require(reinterpret_cast<uintptr_t>(row) % 16 == 0, "a matrix is not aligned");
  struct Lane {
    const void* row;
    uint32_t* out;
  };
  Lane mine{row, out};
  cuda_emulation::warp_collective(0xFFFFFFFFu, &mine, [](void** lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        uint32_t both = 0;
        for (int i = 0; i < 2; ++i) {
          const auto* const from = static_cast<const Lane*>(lanes[8 * matrix + lane % 4 * 2 + i]);
          uint16_t element = 0;
          std::memcpy(&element, static_cast<const char*>(from->row) + lane / 4 * 2, 2);
          both |= uint32_t{element} << (16 * i);
        }
        static_cast<Lane*>(lanes[lane])->out[matrix] = both;
      }
    }
  });
}

/// What each lane gives to a product.
struct EmulatedProduct {
  float* c;
  const uint32_t* a;
  uint32_t b[2];
};

template <float (*kWiden)(uint16_t)>
void multiply_emulated(void** lanes) {
  const auto at = [&](int lane) { return static_cast<EmulatedProduct*>(lanes[lane]); };
  const auto half = [](uint32_t both, int i) {
    return static_cast<double>(kWiden(static_cast<uint16_t>(both >> (16 * (i % 2)))));
  };
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float& c = at(row % 8 * 4 + column / 2)->c[row / 8 * 2 + column % 2];
      double sum = c;
      for (int k = 0; k < 16; ++k) {
        const uint32_t a = at(row % 8 * 4 + k % 8 / 2)->a[k / 8 * 2 + row / 8];
        const uint32_t b = at(column * 4 + k % 8 / 2)->b[k / 8];
        sum += half(a, k) * half(b, k);
      }
      c = static_cast<float>(sum);
    }
  }
}

inline void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b_low, uint32_t b_high) {
  EmulatedProduct mine{c, a, {b_low, b_high}};
  cuda_emulation::warp_collective(0xFFFFFFFFu, &mine, multiply_emulated<bf16_to_f32>);
}
inline void multiply_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b_low, uint32_t b_high) {
  EmulatedProduct mine{c, a, {b_low, b_high}};
  cuda_emulation::warp_collective(0xFFFFFFFFu, &mine, multiply_emulated<f16_to_f32>);
}

}  // namespace switchyard::cuda
