// The emulation's form of kernels/cuda/instructions/warpgroup.cuh: matrices are found by the
// addresses, strides and swizzles that their operands tell. Sums are of doubles, rounded once.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/base/dtype.h"
#include "tests/cuda_emulation/block.h"

#define SWITCHYARD_HAS_WARPGROUPS 1

namespace switchyard::cuda {

inline void barrier_sync(int barrier, int count) {
  cuda_emulation::named_barrier_sync(barrier, count);
}
inline void barrier_arrive(int barrier, int count) {
  cuda_emulation::named_barrier_arrive(barrier, count);
}

template <int kCount>
void keep_registers() {}
template <int kCount>
void take_registers() {}
inline void show_to_products() {}
inline void begin_products() {}
inline void commit_products() {}
template <int kLeft>
void wait_for_products() {}
template <int kCount>
void hold_sums(float (&)[kCount]) {}

/// For tests: whether products of warpgroups round after each term, as no other does.
inline bool warpgroups_round_each_term = false;

struct MatrixOperand {
  uintptr_t address = 0;
  int panel_bytes = 0;  // of outputs; 0: rows
};

template <int kPanelBytes>
MatrixOperand panels_operand(const void* shared) {
  cuda_emulation::require(reinterpret_cast<uintptr_t>(shared) % 512 == 0,
                          "panels of a product are not aligned");
  return {reinterpret_cast<uintptr_t>(shared), kPanelBytes};
}
inline MatrixOperand rows_operand(const void* shared) {
  cuda_emulation::require(reinterpret_cast<uintptr_t>(shared) % 1024 == 0,
                          "rows of a product are not aligned");
  return {reinterpret_cast<uintptr_t>(shared), 0};
}
inline MatrixOperand advance_operand(MatrixOperand operand, int bytes) {
  return {operand.address + static_cast<uintptr_t>(bytes), operand.panel_bytes};
}

/// Bits [4, 4 + kBits) of an address are exchanged by those three places above.
template <int kBits>
uint16_t swizzled_element(uintptr_t address) {
  constexpr uintptr_t kMask = ((uintptr_t{1} << kBits) - 1) << 4;
  uint16_t element = 0;
  std::memcpy(&element, reinterpret_cast<const void*>(address ^ (address >> 3 & kMask)), 2);
  return element;
}
inline uint16_t element_of_panels(const MatrixOperand& operand, int output, int k) {
  return swizzled_element<2>(operand.address +
                             static_cast<uintptr_t>(output / 32 * operand.panel_bytes +
                                                    k / 8 * 512 + k % 8 * 64 + output % 32 * 2));
}
inline uint16_t element_of_rows(const MatrixOperand& operand, int row, int k) {
  return swizzled_element<3>(operand.address +
                             static_cast<uintptr_t>(row / 8 * 1024 + row % 8 * 128 + k * 2));
}

/// What each thread gives to a product.
struct EmulatedWarpgroupProduct {
  float* c;
  int num_rows;
  MatrixOperand weights, rows;
};

template <float (*kWiden)(uint16_t)>
void multiply_warpgroup_emulated(void** threads) {
  const auto at = [&](int i) { return static_cast<EmulatedWarpgroupProduct*>(threads[i]); };
  const EmulatedWarpgroupProduct& first = *at(0);
  std::vector<double> rows(static_cast<size_t>(first.num_rows) * 16);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<double>(
        kWiden(element_of_rows(first.rows, static_cast<int>(i / 16), static_cast<int>(i % 16))));
  }
  for (int output = 0; output < 64; ++output) {
    double weights[16];
    for (int k = 0; k < 16; ++k) {
      weights[k] = static_cast<double>(kWiden(element_of_panels(first.weights, output, k)));
    }
    for (int row = 0; row < first.num_rows; ++row) {
      const int thread = output / 16 * 32 + output % 8 * 4 + row % 8 / 2;
      float& c = at(thread)->c[row / 8 * 4 + output % 16 / 8 * 2 + row % 2];
      double sum = static_cast<double>(c);
      for (int k = 0; k < 16; ++k) {
        sum += weights[k] * rows[static_cast<size_t>(row * 16 + k)];
        if (warpgroups_round_each_term) sum = static_cast<double>(static_cast<float>(sum));
      }
      c = static_cast<float>(sum);
    }
  }
}

template <int kCount>
void multiply_warpgroup_bf16(float (&c)[kCount], MatrixOperand weights, MatrixOperand rows) {
  EmulatedWarpgroupProduct mine{c, kCount * 2, weights, rows};
  cuda_emulation::warpgroup_collective(&mine, multiply_warpgroup_emulated<bf16_to_f32>);
}
template <int kCount>
void multiply_warpgroup_f16(float (&c)[kCount], MatrixOperand weights, MatrixOperand rows) {
  EmulatedWarpgroupProduct mine{c, kCount * 2, weights, rows};
  cuda_emulation::warpgroup_collective(&mine, multiply_warpgroup_emulated<f16_to_f32>);
}

}  // namespace switchyard::cuda
