// Element types and exact conversions between them.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace switchyard {

enum class DType : uint8_t { kF32, kF16, kBF16, kI32, kI64, kU8 };

/// Bytes of one element.
constexpr int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    case DType::kI64:
      return 8;
    case DType::kU8:
      return 1;
  }
  return 0;
}

/// "fp32", "fp16", "bf16", "int32", "int64" or "uint8".
std::string_view name_of(DType dtype);

/// Widens an IEEE binary16 number; exact, subnormals, infinities and NaN included.
inline float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  const uint32_t mantissa = half & 0x3FFu;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  }
  // Subnormal or zero: mantissa * 2^-24 is exact in fp32.
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

/// Rounds to IEEE binary16, to nearest, ties to even; overflow gives infinity.
inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);
  if (magnitude < 0x38800000u) {
    // Below 2^-14 the result is subnormal: adding 0.5 aligns the mantissa so that the adder rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  return static_cast<uint16_t>(sign | ((magnitude + 0xFFFu + odd - (112u << 23)) >> 13));
}

inline float bf16_to_f32(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

/// Rounds to bfloat16, to nearest, ties to even.
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// Widens an E4M3 number (OCP 8-bit floating point, the form without infinities): a sign, 4 bits of
/// exponent with bias 7, 3 of mantissa. Exact; both numbers whose other bits are all set are NaN.
constexpr float e4m3_to_f32(uint8_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x80u) << 24;
  const uint32_t magnitude = value & 0x7Fu;
  if (magnitude == 0x7F) return std::bit_cast<float>(sign | 0x7FC00000u);
  if (magnitude >= 8) return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
  // Subnormal or zero: mantissa * 2^-9.
  return std::bit_cast<float>(sign |
                              std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-9f));
}

/// The bf16 number of a four-bit code of MXFP4 (OCP microscaling formats: E2M1, a sign, 2 bits of
/// exponent, 1 of mantissa: 0, .5, 1, 1.5, 2, 3, 4, 6) times its block's scale 2^(scale - 127).
/// Exact; beyond the range of bf16 infinite; a scale of 255 is NaN. In integers, so that no mode of
/// the processor can flush what is subnormal.
constexpr uint16_t mxfp4_to_bf16(uint8_t code, uint8_t scale) {
  if (scale == 255) return 0x7FC0;
  const auto sign = static_cast<uint16_t>((code & 8u) << 12);
  const int exponent = (code >> 1) & 3;
  const int half = code & 1;
  if (exponent == 0 && half == 0) return sign;
  // 2^(biased - 127) * significand / 128; .5 is the one subnormal code.
  const int biased = scale + (exponent == 0 ? -1 : exponent - 1);
  const int significand = exponent == 0 ? 0x80 : 0x80 | (half << 6);
  if (biased >= 255) return static_cast<uint16_t>(sign | 0x7F80);
  if (biased >= 1) return static_cast<uint16_t>(sign | (biased << 7) | (significand & 0x7F));
  return static_cast<uint16_t>(sign | (significand >> (1 - biased)));
}

/// Converts `count` elements between fp32, fp16 and bf16 (widening is exact, narrowing rounds to
/// nearest even). `from` need not be aligned; the ranges must not overlap.
void convert_elements(DType from_dtype, const void* from, DType to_dtype, void* to, int64_t count);

}  // namespace switchyard
