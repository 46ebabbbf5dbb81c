// Sixteen fp32 lanes as one AVX-512 register. Include only in files compiled for AVX-512 (F, BW,
// VL, DQ), FMA and F16C. vec_portable.h documents the interface and is its specification.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace switchyard::cpu::avx512 {

inline constexpr int kLanes = 16;

struct Mask {
  __mmask16 m;
};

struct IntVec {
  __m512i v;

  static IntVec set1(int32_t x) { return {_mm512_set1_epi32(x)}; }
  static IntVec load(const uint32_t* p) { return {_mm512_loadu_si512(p)}; }
  static IntVec load_u16(const uint16_t* p) {
    return {_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static IntVec load_u8(const uint8_t* p) {
    return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  void store(uint32_t* p) const { _mm512_storeu_si512(p, v); }
};

struct Vec {
  using Int = IntVec;
  static constexpr int kRegisters = 32;  ///< Vecs that fit in the register file
  __m512 v;

  static Mask first_lanes(int n) { return {static_cast<__mmask16>((1u << n) - 1u)}; }
  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec set1(float x) { return {_mm512_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec load_partial(const float* p, int n) {
    return {_mm512_maskz_loadu_ps(first_lanes(n).m, p)};
  }
  static Vec load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static Vec load_bf16(const uint16_t* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store_partial(float* p, int n) const { _mm512_mask_storeu_ps(p, first_lanes(n).m, v); }
};

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec round(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

inline IntVec bits_of(Vec a) { return {_mm512_castps_si512(a.v)}; }
inline Vec from_bits(IntVec a) { return {_mm512_castsi512_ps(a.v)}; }
inline IntVec to_int(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }
inline Vec to_float(IntVec a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline IntVec operator+(IntVec a, IntVec b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline IntVec operator-(IntVec a, IntVec b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline IntVec operator&(IntVec a, IntVec b) { return {_mm512_and_si512(a.v, b.v)}; }
inline IntVec operator|(IntVec a, IntVec b) { return {_mm512_or_si512(a.v, b.v)}; }
inline IntVec operator^(IntVec a, IntVec b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int kBits>
IntVec shift_left(IntVec a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
IntVec shift_right(IntVec a) {
  return {_mm512_srai_epi32(a.v, kBits)};
}
inline Vec lookup(Vec table, IntVec index) { return {_mm512_permutexvar_ps(index.v, table.v)}; }

inline Vec abs(Vec a) { return from_bits(bits_of(a) & IntVec::set1(0x7FFFFFFF)); }
inline Vec operator-(Vec a) { return from_bits(bits_of(a) ^ IntVec::set1(INT32_MIN)); }

inline Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask operator<=(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
inline Mask operator>(Vec a, Vec b) { return b < a; }
inline Mask operator>=(Vec a, Vec b) { return b <= a; }
inline Mask operator==(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask is_nan(Vec a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
inline Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.m & b.m)}; }
inline Mask operator|(Mask a, Mask b) { return {static_cast<__mmask16>(a.m | b.m)}; }
inline Mask operator~(Mask a) { return {static_cast<__mmask16>(~a.m)}; }
inline uint32_t lane_bits(Mask a) { return a.m; }
inline Vec select(Mask mask, Vec a, Vec b) { return {_mm512_mask_blend_ps(mask.m, b.v, a.v)}; }

inline float reduce_add(Vec a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

inline float reduce_max(Vec a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

}  // namespace switchyard::cpu::avx512
