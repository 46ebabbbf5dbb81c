// Fills a SimdProbe for one vector type. As in kernels_impl.h, everything depends on the type.
#pragma once

#include "kernels/cpu/math.h"
#include "tests/kernels/simd_probe.h"

namespace switchyard {

/// 1 where the mask is true, 0 elsewhere.
template <class Vec, class Mask>
Vec ones_where(Mask mask) {
  return select(mask, Vec::set1(1.0f), Vec::zero());
}

/// Wraps a function of three Vecs as a function of memory.
template <class Vec, auto kFunction>
void on_lanes(const float* a, const float* b, const float* c, float* out) {
  kFunction(Vec::load(a), Vec::load(b), Vec::load(c)).store(out);
}

template <class V>
struct Probed {
  using Int = typename V::Int;
  static constexpr LaneFunction kFunctions[] = {
      {"add", &on_lanes<V, [](V a, V b, V) { return a + b; }>},
      {"subtract", &on_lanes<V, [](V a, V b, V) { return a - b; }>},
      {"multiply", &on_lanes<V, [](V a, V b, V) { return a * b; }>},
      {"divide", &on_lanes<V, [](V a, V b, V) { return a / b; }>},
      {"fma", &on_lanes<V, [](V a, V b, V c) { return fma(a, b, c); }>},
      {"max", &on_lanes<V, [](V a, V b, V) { return max(a, b); }>},
      {"min", &on_lanes<V, [](V a, V b, V) { return min(a, b); }>},
      {"abs", &on_lanes<V, [](V a, V, V) { return abs(a); }>},
      {"negate", &on_lanes<V, [](V a, V, V) { return -a; }>},
      {"sqrt", &on_lanes<V, [](V a, V, V) { return sqrt(a); }>},
      {"round", &on_lanes<V, [](V a, V, V) { return round(a); }>},
      {"to_int", &on_lanes<V, [](V a, V, V) { return from_bits(to_int(a)); }>},
      {"to_float", &on_lanes<V, [](V a, V, V) { return to_float(bits_of(a)); }>},
      {"int_add", &on_lanes<V, [](V a, V b, V) { return from_bits(bits_of(a) + bits_of(b)); }>},
      {"int_sub", &on_lanes<V, [](V a, V b, V) { return from_bits(bits_of(a) - bits_of(b)); }>},
      {"int_and", &on_lanes<V, [](V a, V b, V) { return from_bits(bits_of(a) & bits_of(b)); }>},
      {"int_or", &on_lanes<V, [](V a, V b, V) { return from_bits(bits_of(a) | bits_of(b)); }>},
      {"int_xor", &on_lanes<V, [](V a, V b, V) { return from_bits(bits_of(a) ^ bits_of(b)); }>},
      {"shift_left", &on_lanes<V, [](V a, V, V) { return from_bits(shift_left<5>(bits_of(a))); }>},
      {"lookup", &on_lanes<V, [](V a, V b, V) { return lookup(a, bits_of(b)); }>},
      {"shift_right",
       &on_lanes<V, [](V a, V, V) { return from_bits(shift_right<5>(bits_of(a))); }>},
      {"less", &on_lanes<V, [](V a, V b, V) { return ones_where<V>(a < b); }>},
      {"less_equal", &on_lanes<V, [](V a, V b, V) { return ones_where<V>(a <= b); }>},
      {"greater", &on_lanes<V, [](V a, V b, V) { return ones_where<V>(a > b); }>},
      {"greater_equal", &on_lanes<V, [](V a, V b, V) { return ones_where<V>(a >= b); }>},
      {"equal", &on_lanes<V, [](V a, V b, V) { return ones_where<V>(a == b); }>},
      {"is_nan", &on_lanes<V, [](V a, V, V) { return ones_where<V>(is_nan(a)); }>},
      {"mask_and", &on_lanes<V, [](V a, V b, V c) { return ones_where<V>((a < b) & (b < c)); }>},
      {"mask_or", &on_lanes<V, [](V a, V b, V c) { return ones_where<V>((a < b) | (b < c)); }>},
      {"mask_not", &on_lanes<V, [](V a, V b, V) { return ones_where<V>(~(a < b)); }>},
      {"lane_bits",
       &on_lanes<V, [](V a, V b, V) { return V::set1(static_cast<float>(lane_bits(a < b))); }>},
      {"select", &on_lanes<V, [](V a, V b, V c) { return select(a < b, c, b); }>},
      {"reduce_add", &on_lanes<V, [](V a, V, V) { return V::set1(reduce_add(a)); }>},
      {"reduce_max", &on_lanes<V, [](V a, V, V) { return V::set1(reduce_max(a)); }>},
  };
  static constexpr LaneFunction kMath[] = {
      {"exp", &on_lanes<V, [](V a, V, V) { return cpu::exp(a); }>},
      {"log", &on_lanes<V, [](V a, V, V) { return cpu::log(a); }>},
      {"erf", &on_lanes<V, [](V a, V, V) { return cpu::erf(a); }>},
      {"tanh", &on_lanes<V, [](V a, V, V) { return cpu::tanh(a); }>},
      {"gelu", &on_lanes<V, [](V a, V, V) { return cpu::gelu(a); }>},
      {"gelu_tanh", &on_lanes<V, [](V a, V, V) { return cpu::gelu_tanh(a); }>},
      {"sigmoid", &on_lanes<V, [](V a, V, V) { return cpu::sigmoid(a); }>},
      {"silu", &on_lanes<V, [](V a, V, V) { return cpu::silu(a, V::set1(1.0f)); }>},
  };
  static constexpr SimdProbe kProbe = {
      .functions = kFunctions,
      .num_functions = sizeof(kFunctions) / sizeof(kFunctions[0]),
      .load_f16 = [](const uint16_t* from, float* out) { V::load_f16(from).store(out); },
      .load_bf16 = [](const uint16_t* from, float* out) { V::load_bf16(from).store(out); },
      .load_u8 = [](const uint8_t* from, uint32_t* out) { Int::load_u8(from).store(out); },
      .load_u16 = [](const uint16_t* from, uint32_t* out) { Int::load_u16(from).store(out); },
      .load_u32 = [](const uint32_t* from, uint32_t* out) { Int::load(from).store(out); },
      .load_partial = [](const float* from, int n,
                         float* out) { V::load_partial(from, n).store(out); },
      .store_partial = [](const float* from, int n,
                          float* out) { V::load(from).store_partial(out, n); },
      .first_lanes = [](int n) { return lane_bits(V::first_lanes(n)); },
      .math = kMath,
      .num_math = sizeof(kMath) / sizeof(kMath[0]),
  };
};

}  // namespace switchyard
