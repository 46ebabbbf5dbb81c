// The numbers that codes of quantised panels stand for; see kernels/cpu/quantized_layout.h.
#pragma once

#include <cstdint>

#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/lane_vec.cuh"

namespace switchyard::cuda {

using cpu::CodeForm;

/// What the codes of one output in one group are scaled by.
struct CodeScale {
  float scale, offset;
};

/// Of output `lane` of the group at `group`.
template <CodeForm kForm>
__device__ CodeScale load_code_scale(const char* panel, const char* group, int lane) {
  constexpr int kLanes = static_cast<int>(cpu::kPanelWidth);
  constexpr int kBits = cpu::code_bits(kForm);
  CodeScale out = {};
  if constexpr (kForm == CodeForm::kE4m3) {
    out.scale = __ldg(reinterpret_cast<const float*>(group) + lane);
  } else if constexpr (kForm == CodeForm::kE2m1) {
    const uint32_t exponent = __ldg(reinterpret_cast<const uint8_t*>(group) + lane);
    // 2^-127 is no normal number; 255 stands for NaN.
    constexpr uint32_t kLeast = 0x00400000u;
    constexpr uint32_t kNan = 0x7FC00000u;
    out.scale = float_of_bits(exponent == 0 ? kLeast : exponent == 255 ? kNan : exponent << 23);
  } else if constexpr (cpu::has_coded_scales(kBits)) {
    const auto* const codes = reinterpret_cast<const uint8_t*>(group);
    const auto root = static_cast<float>(__ldg(codes + lane));
    const auto zero = static_cast<float>(__ldg(codes + kLanes + lane));
    out.scale = __ldg(reinterpret_cast<const float*>(panel) + lane) * (root * root);
    constexpr float kZeroStep = cpu::kZeroStep<kBits>;
    out.offset = (zero * -kZeroStep) * out.scale;
  } else {
    const uint32_t scale = __ldg(reinterpret_cast<const uint16_t*>(group) + lane);
    out.scale = float_of_bits(scale << cpu::kScaleShift);
    out.offset = __ldg(reinterpret_cast<const float*>(group + 2 * kLanes) + lane);
  }
  return out;
}

/// The codes of 8 inputs of one output.
template <CodeForm kForm>
struct CodeWord {
  static constexpr int kBits = cpu::code_bits(kForm);
  uint32_t low, high;  // high: inputs 4 to 7 of 8 bits

  /// Loads of a warp are whole lines: 128 bytes of 4 bits.
  __device__ static CodeWord load(const char* block, int lane) {
    constexpr int kLanes = static_cast<int>(cpu::kPanelWidth);
    CodeWord out = {};
    if constexpr (kBits == 8 || kBits == 4) {
      const auto* const words = reinterpret_cast<const uint32_t*>(block);
      out.low = __ldg(words + lane);
      if constexpr (kBits == 8) out.high = __ldg(words + kLanes + lane);
    } else {
      out.low = __ldg(reinterpret_cast<const uint16_t*>(block) + lane);
      if constexpr (kBits == 3) {
        const auto* const high = reinterpret_cast<const uint8_t*>(block) + 2 * kLanes;
        out.low |= uint32_t{__ldg(high + lane)} << 16;
      }
    }
    return out;
  }

  /// The element of input `i`.
  __device__ float element(int i, const CodeScale& scale) const {
    const uint32_t word = kBits == 8 && i >= 4 ? high : low;
    const int place = kBits == 8 ? i % 4 * 8 : i * kBits;
    if constexpr (cpu::is_float_form(kForm)) {
      return small_float(word << (32 - kBits - place)) * scale.scale;
    } else {
      const uint32_t code = word >> place & ((1u << kBits) - 1);
      return fmaf(static_cast<float>(code), scale.scale, scale.offset);
    }
  }

 private:
  /// Of the float in the highest bits.
  __device__ static float small_float(uint32_t bits) {
    constexpr cpu::SmallFloat kFloat = cpu::kSmallFloat<kForm>;
    constexpr int kExponentBits = kBits - 1 - kFloat.mantissa_bits;
    constexpr uint32_t kMagnitude = ((1u << (kBits - 1)) - 1) << (32 - kBits);
    const float x = float_of_bits(((bits & kMagnitude) >> (8 - kExponentBits)) +
                                  static_cast<uint32_t>(kFloat.exponent_shift));
    const float magnitude = fminf(x, fmaf(x, 2.0f, -kFloat.least_normal));
    return float_of_bits(bits_of_float(magnitude) | (bits & 0x80000000u));
  }
};

}  // namespace switchyard::cuda
