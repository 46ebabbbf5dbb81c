// Sixteen fp32 lanes in plain C++: the interface and the specification of the vector types. The
// AVX-512 and AVX2 headers give the same bits lane by lane (NaN payloads aside), so a kernel that
// is written once over Vec computes the same numbers on every machine.
#pragma once

#include <cstdint>
#include <cstring>

namespace switchyard::cpu::portable {

inline constexpr int kLanes = 16;

/// A truth value per lane.
struct Mask {
  bool m[kLanes];
};

/// Sixteen int32 lanes; arithmetic wraps.
struct IntVec {
  int32_t v[kLanes];

  static IntVec set1(int32_t x) {
    IntVec out;
    for (int32_t& lane : out.v) lane = x;
    return out;
  }
  /// Memory operands need no alignment.
  static IntVec load(const uint32_t* p) {
    IntVec out;
    std::memcpy(out.v, p, sizeof(out.v));
    return out;
  }
  /// Sixteen numbers widened.
  static IntVec load_u16(const uint16_t* p) { return widen(p); }
  static IntVec load_u8(const uint8_t* p) { return widen(p); }
  void store(uint32_t* p) const { std::memcpy(p, v, sizeof(v)); }

 private:
  template <typename Number>
  static IntVec widen(const Number* p) {
    IntVec out;
    for (int i = 0; i < kLanes; ++i) out.v[i] = p[i];
    return out;
  }
};

/// A lane-wise function: calls f(lane) for each lane and collects the results.
template <typename Result, typename F>
Result lanes(F f) {
  Result out;
  for (int i = 0; i < kLanes; ++i) out.v[i] = f(i);
  return out;
}

template <typename F>
Mask mask_lanes(F f) {
  Mask out;
  for (int i = 0; i < kLanes; ++i) out.m[i] = f(i);
  return out;
}

inline float float_of_bits(uint32_t bits) {
  float out;
  std::memcpy(&out, &bits, sizeof(out));
  return out;
}

inline uint32_t bits_of_float(float x) {
  uint32_t out;
  std::memcpy(&out, &x, sizeof(out));
  return out;
}

inline float widen_f16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  const uint32_t mantissa = half & 0x3FFu;
  if (exponent == 0x1F) return float_of_bits(sign | 0x7F800000u | (mantissa << 13));
  if (exponent != 0) return float_of_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
  // Zero or subnormal: mantissa * 2^-24 is exact in fp32.
  return float_of_bits(sign | bits_of_float(static_cast<float>(mantissa) * 0x1p-24f));
}

struct Vec {
  using Int = IntVec;
  static constexpr int kRegisters = 4;  ///< Vecs that fit in the register file, about
  float v[kLanes];

  /// True in lanes [0, n); 0 <= n <= 16.
  static Mask first_lanes(int n) {
    return mask_lanes([=](int i) { return i < n; });
  }
  static Vec zero() { return set1(0.0f); }
  static Vec set1(float x) {
    return lanes<Vec>([=](int) { return x; });
  }
  /// Memory operands need no alignment.
  static Vec load(const float* p) {
    Vec out;
    std::memcpy(out.v, p, sizeof(out.v));
    return out;
  }
  /// Lanes [0, n) from memory, 0 in the others, whose memory is not touched; 0 <= n <= 16.
  static Vec load_partial(const float* p, int n) {
    return lanes<Vec>([=](int i) { return i < n ? p[i] : 0.0f; });
  }
  /// Exact widening of sixteen IEEE binary16 numbers.
  static Vec load_f16(const uint16_t* p) {
    return lanes<Vec>([=](int i) { return widen_f16(p[i]); });
  }
  /// Exact widening of sixteen bfloat16 numbers.
  static Vec load_bf16(const uint16_t* p) {
    return lanes<Vec>([=](int i) { return float_of_bits(static_cast<uint32_t>(p[i]) << 16); });
  }
  void store(float* p) const { std::memcpy(p, v, sizeof(v)); }
  /// Stores lanes [0, n) and leaves the memory after them alone; 0 <= n <= 16.
  void store_partial(float* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }
};

inline Vec operator+(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] / b.v[i]; });
}
/// a * b + c, rounded once.
inline Vec fma(Vec a, Vec b, Vec c) {
  return lanes<Vec>([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
/// a > b ? a : b. So b where either is NaN, and b of two zeros.
inline Vec max(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
/// a < b ? a : b. So b where either is NaN, and b of two zeros.
inline Vec min(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
/// Correctly rounded.
inline Vec sqrt(Vec a) {
  return lanes<Vec>([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
/// To the nearest integer, ties to even; keeps the sign of zero.
inline Vec round(Vec a) {
  return lanes<Vec>([&](int i) { return __builtin_nearbyintf(a.v[i]); });
}

/// The same 32 bits as the other type.
inline IntVec bits_of(Vec a) {
  return lanes<IntVec>([&](int i) { return static_cast<int32_t>(bits_of_float(a.v[i])); });
}
inline Vec from_bits(IntVec a) {
  return lanes<Vec>([&](int i) { return float_of_bits(static_cast<uint32_t>(a.v[i])); });
}
/// The nearest integer, ties to even; INT32_MIN where it does not fit and for NaN.
inline IntVec to_int(Vec a) {
  return lanes<IntVec>([&](int i) {
    const bool fits = a.v[i] >= -0x1p31f && a.v[i] < 0x1p31f;
    return fits ? static_cast<int32_t>(__builtin_nearbyintf(a.v[i])) : INT32_MIN;
  });
}
inline Vec to_float(IntVec a) {
  return lanes<Vec>([&](int i) { return static_cast<float>(a.v[i]); });
}

/// Computes on the lanes as unsigned numbers, where overflow is defined.
template <typename F>
IntVec unsigned_lanes(IntVec a, IntVec b, F f) {
  return lanes<IntVec>([&](int i) {
    return static_cast<int32_t>(f(static_cast<uint32_t>(a.v[i]), static_cast<uint32_t>(b.v[i])));
  });
}
inline IntVec operator+(IntVec a, IntVec b) {
  return unsigned_lanes(a, b, [](uint32_t x, uint32_t y) { return x + y; });
}
inline IntVec operator-(IntVec a, IntVec b) {
  return unsigned_lanes(a, b, [](uint32_t x, uint32_t y) { return x - y; });
}
inline IntVec operator&(IntVec a, IntVec b) {
  return unsigned_lanes(a, b, [](uint32_t x, uint32_t y) { return x & y; });
}
inline IntVec operator|(IntVec a, IntVec b) {
  return unsigned_lanes(a, b, [](uint32_t x, uint32_t y) { return x | y; });
}
inline IntVec operator^(IntVec a, IntVec b) {
  return unsigned_lanes(a, b, [](uint32_t x, uint32_t y) { return x ^ y; });
}
template <int kBits>
IntVec shift_left(IntVec a) {
  return unsigned_lanes(a, a, [](uint32_t x, uint32_t) { return x << kBits; });
}
/// Arithmetic: copies of the sign come in from the left.
template <int kBits>
IntVec shift_right(IntVec a) {
  return lanes<IntVec>([&](int i) { return a.v[i] >> kBits; });
}
/// table[index mod 16] of each lane.
inline Vec lookup(Vec table, IntVec index) {
  return lanes<Vec>([&](int i) { return table.v[index.v[i] & 15]; });
}

/// Clears or flips the sign bit, of NaN too.
inline Vec abs(Vec a) { return from_bits(bits_of(a) & IntVec::set1(0x7FFFFFFF)); }
inline Vec operator-(Vec a) { return from_bits(bits_of(a) ^ IntVec::set1(INT32_MIN)); }

/// Comparisons are false where either is NaN.
inline Mask operator<(Vec a, Vec b) {
  return mask_lanes([&](int i) { return a.v[i] < b.v[i]; });
}
inline Mask operator<=(Vec a, Vec b) {
  return mask_lanes([&](int i) { return a.v[i] <= b.v[i]; });
}
inline Mask operator>(Vec a, Vec b) { return b < a; }
inline Mask operator>=(Vec a, Vec b) { return b <= a; }
inline Mask operator==(Vec a, Vec b) {
  return mask_lanes([&](int i) { return a.v[i] == b.v[i]; });
}
inline Mask is_nan(Vec a) {
  return mask_lanes([&](int i) { return a.v[i] != a.v[i]; });
}
inline Mask operator&(Mask a, Mask b) {
  return mask_lanes([&](int i) { return a.m[i] && b.m[i]; });
}
inline Mask operator|(Mask a, Mask b) {
  return mask_lanes([&](int i) { return a.m[i] || b.m[i]; });
}
inline Mask operator~(Mask a) {
  return mask_lanes([&](int i) { return !a.m[i]; });
}
/// Bit i is lane i.
inline uint32_t lane_bits(Mask a) {
  uint32_t out = 0;
  for (int i = 0; i < kLanes; ++i) out |= static_cast<uint32_t>(a.m[i]) << i;
  return out;
}
/// a where the mask is true, b elsewhere.
inline Vec select(Mask mask, Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return mask.m[i] ? a.v[i] : b.v[i]; });
}

/// THE lane tree: lane i joins lane i + 8, then i + 4, i + 2 and i + 1, the lower lane first.
template <typename Join>
float reduce(Vec a, Join join) {
  for (int width = kLanes / 2; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) a.v[i] = join(a.v[i], a.v[i + width]);
  }
  return a.v[0];
}
/// The sum of the lanes by the lane tree.
inline float reduce_add(Vec a) {
  return reduce(a, [](float x, float y) { return x + y; });
}
/// max() of the lanes by the lane tree; which number comes out beside a NaN depends on its lane.
inline float reduce_max(Vec a) {
  return reduce(a, [](float x, float y) { return x > y ? x : y; });
}

}  // namespace switchyard::cpu::portable
