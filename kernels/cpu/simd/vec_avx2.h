// Sixteen fp32 lanes as two AVX2 registers. Include only in files compiled for AVX2, FMA and F16C.
// vec_portable.h documents the interface and is its specification.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace switchyard::cpu::avx2 {

inline constexpr int kLanes = 16;

struct Mask {
  __m256 lo, hi;  // all bits of a lane set or none
};

struct IntVec {
  __m256i lo, hi;

  static IntVec set1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static IntVec load(const uint32_t* p) {
    const auto* from = reinterpret_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)};
  }
  static IntVec load_u16(const uint16_t* p) {
    const auto* from = reinterpret_cast<const __m128i*>(p);
    return {_mm256_cvtepu16_epi32(_mm_loadu_si128(from)),
            _mm256_cvtepu16_epi32(_mm_loadu_si128(from + 1))};
  }
  static IntVec load_u8(const uint8_t* p) {
    const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepu8_epi32(all), _mm256_cvtepu8_epi32(_mm_srli_si128(all, 8))};
  }
  void store(uint32_t* p) const {
    auto* to = reinterpret_cast<__m256i*>(p);
    _mm256_storeu_si256(to, lo);
    _mm256_storeu_si256(to + 1, hi);
  }
};

/// All bits set in lanes [0, n) of the 8 lanes that start at lane `first`.
inline __m256i lanes_below(int n, int first) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - first), lane);
}

struct Vec {
  using Int = IntVec;
  static constexpr int kRegisters = 8;  ///< Vecs that fit in the register file
  __m256 lo, hi;

  static Mask first_lanes(int n) {
    return {_mm256_castsi256_ps(lanes_below(n, 0)), _mm256_castsi256_ps(lanes_below(n, 8))};
  }
  static Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Vec set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static Vec load_partial(const float* p, int n) {
    return {_mm256_maskload_ps(p, lanes_below(n, 0)), _mm256_maskload_ps(p + 8, lanes_below(n, 8))};
  }
  static Vec load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(load_halves(p)), _mm256_cvtph_ps(load_halves(p + 8))};
  }
  static Vec load_bf16(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 8)}; }
  void store(float* p) const {
    _mm256_storeu_ps(p, lo);
    _mm256_storeu_ps(p + 8, hi);
  }
  void store_partial(float* p, int n) const {
    _mm256_maskstore_ps(p, lanes_below(n, 0), lo);
    _mm256_maskstore_ps(p + 8, lanes_below(n, 8), hi);
  }

 private:
  static __m128i load_halves(const uint16_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static __m256 widen_bf16(const uint16_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(p)), 16));
  }
};

inline Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
inline Vec round(Vec a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, kNearest), _mm256_round_ps(a.hi, kNearest)};
}

inline IntVec bits_of(Vec a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
inline Vec from_bits(IntVec a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
inline IntVec to_int(Vec a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline Vec to_float(IntVec a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline IntVec operator+(IntVec a, IntVec b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
inline IntVec operator-(IntVec a, IntVec b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
inline IntVec operator&(IntVec a, IntVec b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
inline IntVec operator|(IntVec a, IntVec b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
inline IntVec operator^(IntVec a, IntVec b) {
  return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)};
}
template <int kBits>
IntVec shift_left(IntVec a) {
  return {_mm256_slli_epi32(a.lo, kBits), _mm256_slli_epi32(a.hi, kBits)};
}
template <int kBits>
IntVec shift_right(IntVec a) {
  return {_mm256_srai_epi32(a.lo, kBits), _mm256_srai_epi32(a.hi, kBits)};
}
inline __m256 lookup(Vec table, __m256i index) {
  const __m256 is_high = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));  // by its sign
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.lo, index),
                          _mm256_permutevar8x32_ps(table.hi, index), is_high);
}
inline Vec lookup(Vec table, IntVec index) {
  return {lookup(table, index.lo), lookup(table, index.hi)};
}

inline Vec abs(Vec a) { return from_bits(bits_of(a) & IntVec::set1(0x7FFFFFFF)); }
inline Vec operator-(Vec a) { return from_bits(bits_of(a) ^ IntVec::set1(INT32_MIN)); }

template <int kPredicate>
Mask compare(Vec a, Vec b) {
  return {_mm256_cmp_ps(a.lo, b.lo, kPredicate), _mm256_cmp_ps(a.hi, b.hi, kPredicate)};
}
inline Mask operator<(Vec a, Vec b) { return compare<_CMP_LT_OQ>(a, b); }
inline Mask operator<=(Vec a, Vec b) { return compare<_CMP_LE_OQ>(a, b); }
inline Mask operator>(Vec a, Vec b) { return b < a; }
inline Mask operator>=(Vec a, Vec b) { return b <= a; }
inline Mask operator==(Vec a, Vec b) { return compare<_CMP_EQ_OQ>(a, b); }
inline Mask is_nan(Vec a) { return compare<_CMP_UNORD_Q>(a, a); }
inline Mask operator&(Mask a, Mask b) {
  return {_mm256_and_ps(a.lo, b.lo), _mm256_and_ps(a.hi, b.hi)};
}
inline Mask operator|(Mask a, Mask b) {
  return {_mm256_or_ps(a.lo, b.lo), _mm256_or_ps(a.hi, b.hi)};
}
inline Mask operator~(Mask a) {
  const __m256 ones = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  return {_mm256_xor_ps(a.lo, ones), _mm256_xor_ps(a.hi, ones)};
}
inline uint32_t lane_bits(Mask a) {
  return static_cast<uint32_t>(_mm256_movemask_ps(a.lo)) |
         static_cast<uint32_t>(_mm256_movemask_ps(a.hi)) << 8;
}
inline Vec select(Mask mask, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.lo, a.lo, mask.lo), _mm256_blendv_ps(b.hi, a.hi, mask.hi)};
}

inline float reduce_add(Vec a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

inline float reduce_max(Vec a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

}  // namespace switchyard::cpu::avx2
