// Elements of quantised panels, for any vector type of kernels/cpu/simd.
#pragma once

#include <cstdint>

#include "kernels/cpu/quantized_layout.h"

namespace switchyard::cpu {

/// Few rows wait for memory: codes are requested so many bytes before they are needed.
inline constexpr int64_t kDequantizeAhead = 1024;

/// Requests the block that stands kDequantizeAhead after `block`.
template <int kBits>
[[gnu::always_inline]] inline void prefetch_codes(const char* block) {
  const char* ahead = block + kDequantizeAhead;
  for (int64_t line = 0; line < kPanelWidth * kBits; line += 64) __builtin_prefetch(ahead + line);
}

/// Scale and offset of 16 outputs in one group.
template <class Vec>
struct GroupScales {
  Vec scale, offset;
};

/// Of outputs [16 half, 16 half + 16). `units` is the panel, `scales` the group.
template <class Vec, int kBits>
[[gnu::always_inline]] inline GroupScales<Vec> load_scales(const char* units, const char* scales,
                                                           int half) {
  using Int = typename Vec::Int;
  if constexpr (has_coded_scales(kBits)) {
    const auto* codes = reinterpret_cast<const uint8_t*>(scales) + 16 * half;
    const Vec root = to_float(Int::load_u8(codes));
    const Vec zero = to_float(Int::load_u8(codes + kPanelWidth));
    const Vec unit = Vec::load(reinterpret_cast<const float*>(units) + 16 * half);
    const Vec scale = unit * (root * root);
    return {scale, (zero * Vec::set1(-kZeroStep<kBits>)) * scale};
  } else {
    const auto* offsets = reinterpret_cast<const float*>(scales + 2 * kPanelWidth);
    const Int scale = Int::load_u16(reinterpret_cast<const uint16_t*>(scales) + 16 * half);
    return {from_bits(shift_left<kScaleShift>(scale)), Vec::load(offsets + 16 * half)};
  }
}

/// The codes of 8 inputs in 16 outputs.
template <class Vec, int kBits>
struct CodeBlock {
  using Int = typename Vec::Int;
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

  template <int kInput>
  [[gnu::always_inline]] Vec code() const {
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
};

/// Elements of 8 inputs in 16 outputs, to out[8][kPanelWidth].
template <class Vec, int kBits>
[[gnu::always_inline]] inline void dequantize_block(const char* block, int half,
                                                    const GroupScales<Vec>& group, float* out) {
  const auto codes = CodeBlock<Vec, kBits>::load(block, half);
  out += 16 * half;
  const auto element = [&]<int kInput>() {
    fma(codes.template code<kInput>(), group.scale, group.offset).store(out + kInput * kPanelWidth);
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
template <class Vec, int kBits>
void dequantize_piece(const QuantizedLayout& layout, const char* panel, const PanelPiece& piece,
                      float* out) {
  const int64_t end = piece.first + piece.depth;
  int64_t group_begin = piece.group * layout.group;
  const char* group = panel + layout.header_bytes + piece.group * layout.group_bytes;
  for (int64_t i = piece.first; i < end; group += layout.group_bytes) {
    const int64_t group_end = group_begin + layout.group < end ? group_begin + layout.group : end;
    const GroupScales<Vec> low = load_scales<Vec, kBits>(panel, group, 0);
    const GroupScales<Vec> high = load_scales<Vec, kBits>(panel, group, 1);
    const char* block =
        group + layout.scales_bytes + (i - group_begin) / kCodesPerBlock * layout.block_bytes;
    for (; i < group_end; i += kCodesPerBlock) {
      prefetch_codes<kBits>(block);
      dequantize_block<Vec, kBits>(block, 0, low, out);
      dequantize_block<Vec, kBits>(block, 1, high, out);
      block += layout.block_bytes;
      out += kCodesPerBlock * kPanelWidth;
    }
    group_begin += layout.group;
  }
}

}  // namespace switchyard::cpu
