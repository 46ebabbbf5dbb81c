// Sine and cosine of one angle, for every machine that computes in double.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/base/circle_series.h"
#include "kernels/base/device_code.h"

namespace switchyard::cpu {

/// The steps of sin_double() and cos_double() without branches, rounded to fp32. A template over
/// the vector type of the caller so that each instruction set has a copy of its own.
template <class Vec>
SWITCHYARD_DEVICE inline void sine_and_cosine(double x, float* sine_out, float* cosine_out) {
  constexpr CircleSeries kSines = circle_series(1);
  constexpr CircleSeries kCosines = circle_series(0);
  // Adding this to a number below 2^51 rounds it to an integer, which stands in the low bits.
  constexpr double kToInteger = 0x1.8p52;
  const double shifted = x * kTwoOverPi + kToInteger;
  const double n = shifted - kToInteger;
  const double r = fma(-n, kHalfPiLow, fma(-n, kHalfPiHigh, x));
  const double square = r * r;
  double sine = kSines.c[8];
  double cosine = kCosines.c[8];
  SWITCHYARD_UNROLL
  for (int k = 7; k >= 0; --k) {
    sine = fma(sine, square, kSines.c[k]);
    cosine = fma(cosine, square, kCosines.c[k]);
  }
  sine *= r;
  const auto quarter_turns = __builtin_bit_cast(uint64_t, shifted);
  const double y = (quarter_turns & 1) != 0 ? cosine : sine;
  const double z = (quarter_turns & 1) != 0 ? sine : cosine;
  // Half turns flip the sign bits.
  const uint64_t y_bits = __builtin_bit_cast(uint64_t, y) ^ (quarter_turns & 2) << 62;
  const uint64_t z_bits = __builtin_bit_cast(uint64_t, z) ^ ((quarter_turns + 1) & 2) << 62;
  // NaN where the angle is too large; where it is NaN, so is all else.
  const double range = (x < 0 ? -x : x) <= kLargestAngle ? 1.0 : __builtin_nan("");
  *sine_out = static_cast<float>(__builtin_bit_cast(double, y_bits) * range);
  *cosine_out = static_cast<float>(__builtin_bit_cast(double, z_bits) * range);
}

}  // namespace switchyard::cpu
