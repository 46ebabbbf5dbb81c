// The CPU's form of a quantised weight matrix: panels of kPanelWidth outputs as in packing.h, each
//
//   units    fp32 [32], of each output                  3 and 2 bits only
//   and for each group of inputs:
//   scales   u16 [32], then offsets fp32 [32]           8 and 4 bits
//            scale codes u8 [32], zero codes u8 [32]    3 and 2 bits
//            fp32 [32]                                  e4m3
//            exponents plus 127, u8 [32]                e2m1
//   codes    in blocks of 8 inputs: an output's 8 codes are one word of 8 * bits bits, the first
//            input in the lowest: 4 bits u32 [32]; 8 bits u32 [32] of inputs 0 to 3, then u32 [32]
//            of 4 to 7; 3 bits u16 [32] of the low 16 bits, then u8 [32]; 2 bits u16 [32]
//
// up to a multiple of 64 bytes. Floats of 8 bits (e4m3) and 4 (e2m1) stand like other codes of so
// many bits; an element is their number times the scale. A group of e4m3 with a NaN among its codes
// has the scale NaN: a product with its output is NaN either way. An element of an integer code is
// fma(code, scale, offset) in fp32. For 8 and 4 bits a
// scale is stored as the bits of the fp32 number from kScaleShift on: bf16 with the sign's bit
// given to the mantissa. For 3 and 2 bits scale = unit * scale code^2 and offset = (-zero code *
// kZeroStep) * scale, each product rounded once. No two outputs share a byte, so rows can be packed
// in any order and at once. What stands for outputs past N or for inputs past K is zero.
#pragma once

#include <cstdint>

#include "kernels/weight.h"

namespace switchyard::cpu {

/// Outputs in one panel of a packed weight: two AVX-512 registers, four AVX2 registers.
inline constexpr int64_t kPanelWidth = 32;

/// Inputs whose codes stand together.
inline constexpr int64_t kCodesPerBlock = 8;

/// The forms of codes that kernels are compiled for.
enum class CodeForm : uint8_t { kNone, kInt8, kInt4, kInt3, kInt2, kE4m3, kE2m1 };

constexpr int code_bits(CodeForm form) {
  switch (form) {
    case CodeForm::kInt8:
    case CodeForm::kE4m3:
      return 8;
    case CodeForm::kInt4:
    case CodeForm::kE2m1:
      return 4;
    case CodeForm::kInt3:
      return 3;
    case CodeForm::kInt2:
      return 2;
    case CodeForm::kNone:
      break;
  }
  return 0;
}

constexpr bool is_float_form(CodeForm form) {
  return form == CodeForm::kE4m3 || form == CodeForm::kE2m1;
}

/// Of a quantisation that is on.
CodeForm form_of(const GroupQuantization& quantization);

/// Whether scale and offset of a group are numbers, or codes in units of the row's largest scale.
/// With groups of 16 inputs numbers would take 3 bits more for each weight.
constexpr bool has_coded_scales(int bits) { return bits < 4; }

/// How a small float becomes fp32. Its bits without the sign, moved to where fp32 has exponent and
/// mantissa, and exponent_shift make a number x. That is right but for subnormal codes, whose
/// number is 2 x - least_normal; and the smaller of the two is the right one for every code.
struct SmallFloat {
  int mantissa_bits;
  int32_t exponent_shift;  // what is added to the field, in the bits of fp32
  float least_normal;
};
template <CodeForm kForm>
inline constexpr SmallFloat kSmallFloat =
    kForm == CodeForm::kE4m3 ? SmallFloat{3, 120 << 23, 0x1p-6f} : SmallFloat{1, 126 << 23, 1.0f};

/// Zero codes are multiples of this part of a code, so that 255 lies at the largest code or just
/// above: 4 - 1/64 of 2 bits, 8 - 1/32 of 3.
template <int kBits>
inline constexpr float kZeroStep = static_cast<float>(1 << kBits) / 256.0f;

/// Bits of a scale of 8 and 4 bits that are 0 and not stored.
inline constexpr int kScaleShift = 15;

/// Sizes of a panel's parts. Plain data, for files compiled for one instruction set read it too.
struct QuantizedLayout {
  CodeForm form = CodeForm::kNone;  // kNone: the weight is not quantised
  int bits = 0;                     // of a code
  int64_t group = 0;
  int64_t cols = 0;          // K
  int64_t header_bytes = 0;  // of a panel, before its groups
  int64_t scales_bytes = 0;  // of a group, before its codes
  int64_t block_bytes = 0;   // of kCodesPerBlock inputs
  int64_t group_bytes = 0;   // scales and codes of a group that is whole
  int64_t panel_bytes = 0;
};

/// Checks that the bits are 8, 4, 3 or 2 and the group a multiple of 8.
QuantizedLayout layout_of(const WeightSpec& spec);

}  // namespace switchyard::cpu
