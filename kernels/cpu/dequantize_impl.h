// Elements of quantised panels, for any vector type of kernels/cpu/simd.
#pragma once

#include <cstdint>

#include "kernels/cpu/quantized_layout.h"

namespace switchyard::cpu {

/// Few rows wait for memory: codes are requested so many bytes before they are needed.
inline constexpr int64_t kDequantizeAhead = 1024;

/// Requests the block that stands kDequantizeAhead after `block`.
template <CodeForm kForm>
[[gnu::always_inline]] inline void prefetch_codes(const char* block) {
  const char* ahead = block + kDequantizeAhead;
  for (int64_t line = 0; line < kPanelWidth * code_bits(kForm); line += 64)
    __builtin_prefetch(ahead + line);
}

/// Scale and offset of 16 outputs in one group.
template <class Vec, CodeForm kForm>
struct GroupScales {
  Vec scale, offset;  // floats have no offset

  /// Elements, of codes or floats.
  [[gnu::always_inline]] Vec scaled(Vec codes) const {
    if constexpr (is_float_form(kForm)) return codes * scale;
    return fma(codes, scale, offset);
  }
};

/// Of outputs [16 half, 16 half + 16). `units` is the panel, `scales` the group.
template <class Vec, CodeForm kForm>
[[gnu::always_inline]] inline GroupScales<Vec, kForm> load_scales(const char* units,
                                                                  const char* scales, int half) {
  using Int = typename Vec::Int;
  if constexpr (kForm == CodeForm::kE4m3) {
    return {Vec::load(reinterpret_cast<const float*>(scales) + 16 * half), Vec::zero()};
  } else if constexpr (kForm == CodeForm::kE2m1) {
    const Int exponent = Int::load_u8(reinterpret_cast<const uint8_t*>(scales) + 16 * half);
    // 2^-127 is no normal number; 255 stands for NaN, which infinity minus itself is.
    const Vec scale = max(from_bits(shift_left<23>(exponent)), Vec::set1(0x1p-127f));
    return {scale + (scale - scale), Vec::zero()};
  } else if constexpr (has_coded_scales(code_bits(kForm))) {
    const auto* codes = reinterpret_cast<const uint8_t*>(scales) + 16 * half;
    const Vec root = to_float(Int::load_u8(codes));
    const Vec zero = to_float(Int::load_u8(codes + kPanelWidth));
    const Vec unit = Vec::load(reinterpret_cast<const float*>(units) + 16 * half);
    const Vec scale = unit * (root * root);
    return {scale, (zero * Vec::set1(-kZeroStep<code_bits(kForm)>)) * scale};
  } else {
    const auto* offsets = reinterpret_cast<const float*>(scales + 2 * kPanelWidth);
    const Int scale = Int::load_u16(reinterpret_cast<const uint16_t*>(scales) + 16 * half);
    return {from_bits(shift_left<kScaleShift>(scale)), Vec::load(offsets + 16 * half)};
  }
}

/// By code: of four bits a table is one operation on vectors of 16 lanes, where computing takes 7.
alignas(64) inline constexpr float kE2m1Numbers[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                                       4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                                       -2.0f, -3.0f, -4.0f, -6.0f};

/// The codes of 8 inputs in 16 outputs.
template <class Vec, CodeForm kForm>
struct CodeBlock {
  using Int = typename Vec::Int;
  static constexpr int kBits = code_bits(kForm);
  static constexpr int kPerWord = kBits == 8 ? 4 : 8;
  Int words[8 / kPerWord];

  [[gnu::always_inline]] static CodeBlock load(const char* block, int half) {
    CodeBlock out;
    if constexpr (kBits == 8 || kBits == 4) {
      const auto* from = reinterpret_cast<const uint32_t*>(block) + 16 * half;
      for (int i = 0; i < 8 / kPerWord; ++i) out.words[i] = Int::load(from + i * kPanelWidth);
    } else {
      out.words[0] = Int::load_u16(reinterpret_cast<const uint16_t*>(block) + 16 * half);
      if constexpr (kBits == 3) {
        const auto* high = reinterpret_cast<const uint8_t*>(block) + 2 * kPanelWidth + 16 * half;
        out.words[0] = out.words[0] | shift_left<16>(Int::load_u8(high));
      }
    }
    return out;
  }

  /// As numbers.
  template <int kInput>
  [[gnu::always_inline]] Vec code() const {
    if constexpr (kForm == CodeForm::kE2m1) {
      constexpr int kPlace = kInput * kBits;
      return lookup(Vec::load(kE2m1Numbers), shift_right<kPlace>(words[0]));
    } else if constexpr (is_float_form(kForm)) {
      return small_float<kInput>();
    } else {
      return integer<kInput>();
    }
  }

 private:
  template <int kInput>
  [[gnu::always_inline]] Vec integer() const {
    // Codes that stand in the mantissa's bits are not moved: below the exponent of 2^(23 - place)
    // their lowest bit counts 1. One operation less a code than shifting and converting.
    constexpr int kWordPlace = kInput % kPerWord * kBits;
    constexpr bool kIsAbove = kWordPlace + kBits > 23;
    constexpr int kPlace = kIsAbove ? kWordPlace - 16 : kWordPlace;
    constexpr int32_t kMask = ((1 << kBits) - 1) << kPlace;
    const Vec base = Vec::set1(static_cast<float>(1 << (23 - kPlace)));
    const Int word = words[kInput / kPerWord];
    const Int moved = kIsAbove ? shift_right<16>(word) : word;
    return from_bits((moved & Int::set1(kMask)) | bits_of(base)) - base;
  }

  template <int kInput>
  [[gnu::always_inline]] Vec small_float() const {
    constexpr SmallFloat kFloat = kSmallFloat<kForm>;
    constexpr int kExponentBits = kBits - 1 - kFloat.mantissa_bits;
    constexpr int32_t kMagnitude = ((1 << (kBits - 1)) - 1) << (32 - kBits);
    // The code's sign becomes the sign.
    const Int high = shift_left<32 - kBits - kInput % kPerWord * kBits>(words[kInput / kPerWord]);
    const Int moved = shift_right<8 - kExponentBits>(high & Int::set1(kMagnitude));
    const Vec x = from_bits(moved + Int::set1(kFloat.exponent_shift));
    const Vec magnitude = min(x, fma(x, Vec::set1(2.0f), Vec::set1(-kFloat.least_normal)));
    return from_bits(bits_of(magnitude) | (high & Int::set1(INT32_MIN)));
  }
};

/// Elements of 8 inputs in 16 outputs, to out[8][kPanelWidth].
template <class Vec, CodeForm kForm>
[[gnu::always_inline]] inline void dequantize_block(const char* block, int half,
                                                    const GroupScales<Vec, kForm>& group,
                                                    float* out) {
  const auto codes = CodeBlock<Vec, kForm>::load(block, half);
  out += 16 * half;
  const auto element = [&]<int kInput>() {
    group.scaled(codes.template code<kInput>()).store(out + kInput * kPanelWidth);
  };
  element.template operator()<0>();
  element.template operator()<1>();
  element.template operator()<2>();
  element.template operator()<3>();
  element.template operator()<4>();
  element.template operator()<5>();
  element.template operator()<6>();
  element.template operator()<7>();
}

/// Some inputs of a panel, and the group in which they begin.
struct PanelPiece {
  int64_t first = 0;  // a multiple of kCodesPerBlock
  int64_t depth = 0;
  int64_t group = 0;  // first / layout.group
};

/// Elements of a piece, to out[depth rounded up to whole blocks][kPanelWidth].
template <class Vec, CodeForm kForm>
void dequantize_piece(const QuantizedLayout& layout, const char* panel, const PanelPiece& piece,
                      float* out) {
  const int64_t end = piece.first + piece.depth;
  int64_t group_begin = piece.group * layout.group;
  const char* group = panel + layout.header_bytes + piece.group * layout.group_bytes;
  for (int64_t i = piece.first; i < end; group += layout.group_bytes) {
    const int64_t group_end = group_begin + layout.group < end ? group_begin + layout.group : end;
    const auto low = load_scales<Vec, kForm>(panel, group, 0);
    const auto high = load_scales<Vec, kForm>(panel, group, 1);
    const char* block =
        group + layout.scales_bytes + (i - group_begin) / kCodesPerBlock * layout.block_bytes;
    for (; i < group_end; i += kCodesPerBlock) {
      prefetch_codes<kForm>(block);
      dequantize_block<Vec, kForm>(block, 0, low, out);
      dequantize_block<Vec, kForm>(block, 1, high, out);
      block += layout.block_bytes;
      out += kCodesPerBlock * kPanelWidth;
    }
    group_begin += layout.group;
  }
}

}  // namespace switchyard::cpu
