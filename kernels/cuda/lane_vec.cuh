// Sixteen fp32 lanes in sixteen neighbouring threads: the vector type of kernels/cpu/simd for GPU
// kernels. Each thread holds ONE lane; load(p) reads p[lane]. The CPU's row kernels, written once
// over Vec, compile over LaneVec as they are and give the CPU's bits, lane by lane. All sixteen
// threads of a group (threads 16 g to 16 g + 15 of a block) must run such a kernel together; one
// writes what the kernel writes as a scalar, sixteen times the same.
#pragma once

#include <cstdint>

namespace switchyard::cuda {

/// This thread's lane, and the threads of its group in a warp.
__device__ inline int lane_number() { return static_cast<int>(threadIdx.x % 16); }
__device__ inline uint32_t lane_group() { return 0xFFFFu << (threadIdx.x % 32 / 16 * 16); }

__device__ inline float float_of_bits(uint32_t bits) {
  float out;
  memcpy(&out, &bits, sizeof(out));
  return out;
}
__device__ inline uint32_t bits_of_float(float x) {
  uint32_t out;
  memcpy(&out, &x, sizeof(out));
  return out;
}

/// Exact widening of an IEEE binary16 number.
__device__ inline float widen_f16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  const uint32_t mantissa = half & 0x3FFu;
  if (exponent == 0x1F) return float_of_bits(sign | 0x7F800000u | (mantissa << 13));
  if (exponent != 0) return float_of_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
  return float_of_bits(sign | bits_of_float(static_cast<float>(mantissa) * 0x1p-24f));
}
__device__ inline float widen_bf16(uint16_t number) {
  return float_of_bits(static_cast<uint32_t>(number) << 16);
}

/// A truth value of each lane.
struct LaneMask {
  bool m;
};

struct LaneInt {
  int32_t v;

  __device__ static LaneInt set1(int32_t x) { return {x}; }
  __device__ static LaneInt load(const uint32_t* p) {
    return {static_cast<int32_t>(p[lane_number()])};
  }
  __device__ static LaneInt load_u16(const uint16_t* p) { return {p[lane_number()]}; }
  __device__ static LaneInt load_u8(const uint8_t* p) { return {p[lane_number()]}; }
  __device__ void store(uint32_t* p) const { p[lane_number()] = static_cast<uint32_t>(v); }
};

struct LaneVec {
  using Int = LaneInt;
  static constexpr int kRegisters = 4;
  float v;

  __device__ static LaneMask first_lanes(int n) { return {lane_number() < n}; }
  __device__ static LaneVec zero() { return {0.0f}; }
  __device__ static LaneVec set1(float x) { return {x}; }
  __device__ static LaneVec load(const float* p) { return {p[lane_number()]}; }
  __device__ static LaneVec load_partial(const float* p, int n) {
    return {lane_number() < n ? p[lane_number()] : 0.0f};
  }
  __device__ static LaneVec load_f16(const uint16_t* p) { return {widen_f16(p[lane_number()])}; }
  __device__ static LaneVec load_bf16(const uint16_t* p) { return {widen_bf16(p[lane_number()])}; }
  __device__ void store(float* p) const { p[lane_number()] = v; }
  __device__ void store_partial(float* p, int n) const {
    if (lane_number() < n) p[lane_number()] = v;
  }
};

__device__ inline LaneVec operator+(LaneVec a, LaneVec b) { return {a.v + b.v}; }
__device__ inline LaneVec operator-(LaneVec a, LaneVec b) { return {a.v - b.v}; }
__device__ inline LaneVec operator*(LaneVec a, LaneVec b) { return {a.v * b.v}; }
__device__ inline LaneVec operator/(LaneVec a, LaneVec b) { return {a.v / b.v}; }
__device__ inline LaneVec fma(LaneVec a, LaneVec b, LaneVec c) { return {fmaf(a.v, b.v, c.v)}; }
__device__ inline LaneVec max(LaneVec a, LaneVec b) { return {a.v > b.v ? a.v : b.v}; }
__device__ inline LaneVec min(LaneVec a, LaneVec b) { return {a.v < b.v ? a.v : b.v}; }
__device__ inline LaneVec sqrt(LaneVec a) { return {sqrtf(a.v)}; }
__device__ inline LaneVec round(LaneVec a) { return {rintf(a.v)}; }

__device__ inline LaneInt bits_of(LaneVec a) { return {static_cast<int32_t>(bits_of_float(a.v))}; }
__device__ inline LaneVec from_bits(LaneInt a) {
  return {float_of_bits(static_cast<uint32_t>(a.v))};
}
__device__ inline LaneInt to_int(LaneVec a) {
  const bool fits = a.v >= -0x1p31f && a.v < 0x1p31f;
  return {fits ? static_cast<int32_t>(rintf(a.v)) : INT32_MIN};
}
__device__ inline LaneVec to_float(LaneInt a) { return {static_cast<float>(a.v)}; }

__device__ inline LaneInt wrapped(uint32_t x) { return {static_cast<int32_t>(x)}; }
__device__ inline uint32_t word(LaneInt a) { return static_cast<uint32_t>(a.v); }
__device__ inline LaneInt operator+(LaneInt a, LaneInt b) { return wrapped(word(a) + word(b)); }
__device__ inline LaneInt operator-(LaneInt a, LaneInt b) { return wrapped(word(a) - word(b)); }
__device__ inline LaneInt operator&(LaneInt a, LaneInt b) { return wrapped(word(a) & word(b)); }
__device__ inline LaneInt operator|(LaneInt a, LaneInt b) { return wrapped(word(a) | word(b)); }
__device__ inline LaneInt operator^(LaneInt a, LaneInt b) { return wrapped(word(a) ^ word(b)); }
template <int kBits>
__device__ LaneInt shift_left(LaneInt a) {
  return wrapped(word(a) << kBits);
}
template <int kBits>
__device__ LaneInt shift_right(LaneInt a) {
  return {a.v >> kBits};
}

__device__ inline LaneVec abs(LaneVec a) {
  return from_bits(bits_of(a) & LaneInt::set1(0x7FFFFFFF));
}
__device__ inline LaneVec operator-(LaneVec a) {
  return from_bits(bits_of(a) ^ LaneInt::set1(INT32_MIN));
}

__device__ inline LaneMask operator<(LaneVec a, LaneVec b) { return {a.v < b.v}; }
__device__ inline LaneMask operator<=(LaneVec a, LaneVec b) { return {a.v <= b.v}; }
__device__ inline LaneMask operator>(LaneVec a, LaneVec b) { return {a.v > b.v}; }
__device__ inline LaneMask operator>=(LaneVec a, LaneVec b) { return {a.v >= b.v}; }
__device__ inline LaneMask operator==(LaneVec a, LaneVec b) { return {a.v == b.v}; }
__device__ inline LaneMask is_nan(LaneVec a) { return {a.v != a.v}; }
__device__ inline LaneMask operator&(LaneMask a, LaneMask b) { return {a.m && b.m}; }
__device__ inline LaneMask operator|(LaneMask a, LaneMask b) { return {a.m || b.m}; }
__device__ inline LaneMask operator~(LaneMask a) { return {!a.m}; }
__device__ inline uint32_t lane_bits(LaneMask a) {
  return __ballot_sync(lane_group(), a.m) >> (threadIdx.x % 32 / 16 * 16) & 0xFFFFu;
}
__device__ inline LaneVec select(LaneMask mask, LaneVec a, LaneVec b) { return mask.m ? a : b; }

/// The number of lane `lane`, in all lanes.
__device__ inline float lane_of(LaneVec a, int lane) {
  return __shfl_sync(lane_group(), a.v, lane, 16);
}

/// The lane tree of kernels/cpu/simd: lane i joins lane i + 8, then i + 4, i + 2 and i + 1.
template <typename Join>
__device__ float reduce(LaneVec a, Join join) {
  for (int width = 8; width >= 1; width /= 2) {
    a.v = join(a.v, __shfl_down_sync(lane_group(), a.v, static_cast<unsigned>(width), 16));
  }
  return lane_of(a, 0);
}
__device__ inline float reduce_add(LaneVec a) {
  return reduce(a, [](float x, float y) { return x + y; });
}
__device__ inline float reduce_max(LaneVec a) {
  return reduce(a, [](float x, float y) { return x > y ? x : y; });
}

}  // namespace switchyard::cuda
