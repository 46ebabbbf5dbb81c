// Functions of model numbers over the vector types of kernels/cpu/simd. libm is not used for them:
// it picks variants by machine. Every function here is a fixed chain of correctly rounded
// operations, so it gives the same bits on every machine and in every lane.
//
// Errors are the largest seen over all fp32 numbers (every fifth for exp) against a
// double-precision reference, in units in the last place (ulp). The polynomials are minimax fits
// whose coefficients were rounded to fp32 one after the other, lowest power first, refitting the
// rest.
#pragma once

#include <cstdint>

#include "kernels/base/device_code.h"

namespace switchyard::cpu {

/// c[0] + c[1] x + c[2] x^2 ..., Horner's scheme in fused steps.
template <class Vec, int kCount>
SWITCHYARD_DEVICE Vec polynomial(Vec x, const float (&c)[kCount]) {
  Vec sum = Vec::set1(c[kCount - 1]);
  for (int i = kCount - 2; i >= 0; --i) sum = fma(sum, x, Vec::set1(c[i]));
  return sum;
}

/// A number split as log() and exp() need ln 2: kLn2High has 9 bits, so that its products with
/// exponents are exact; kLn2Low is the rest.
inline constexpr float kLn2High = 0x1.63p-1f;
inline constexpr float kLn2Low = -0x1.bd0106p-13f;

/// exp(x), 0.91 ulp. 0 below ln 2^-126 (results that would be subnormal), infinity above
/// ln FLT_MAX; NaN stays NaN.
template <class Vec>
SWITCHYARD_DEVICE Vec exp(Vec x) {
  using Int = typename Vec::Int;
  // (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2, relative error of exp below 4e-9.
  constexpr float kTail[] = {0x1.0p-1f, 0x1.555488p-3f, 0x1.5554c8p-5f, 0x1.1240aep-7f,
                             0x1.6d71fp-10f};
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kLargest = 0x1.62e42ep+6f;    // the largest x with exp(x) <= FLT_MAX
  constexpr float kSmallest = -0x1.5d589ep+6f;  // the smallest x with exp(x) >= 2^-126
  const Vec n = round(x * Vec::set1(kLog2E));
  const Vec r = fma(n, Vec::set1(-kLn2Low), fma(n, Vec::set1(-kLn2High), x));
  const Vec one = Vec::set1(1.0f);
  const Vec mantissa = fma(fma(polynomial(r, kTail), r, one), r, one);
  // Adding n to the exponent; where that leaves the normal range one of the selects replaces it.
  const Int scaled = bits_of(mantissa) + shift_left<23>(to_int(n));
  const Vec infinity = from_bits(Int::set1(0x7F800000));
  const Vec bounded = select(x > Vec::set1(kLargest), infinity, from_bits(scaled));
  return select(x < Vec::set1(kSmallest), Vec::zero(), bounded);
}

/// Natural logarithm, 0.83 ulp, subnormal arguments included. -infinity at both zeros, NaN for
/// negative numbers.
template <class Vec>
SWITCHYARD_DEVICE Vec log(Vec x) {
  using Int = typename Vec::Int;
  // (log(1 + f) - f + f^2 / 2) / f^3 for 1 + f in [sqrt(1/2), sqrt(2)), relative error of log
  // below 1e-9.
  constexpr float kTail[] = {0x1.555546p-2f,  -0x1.fffffcp-3f, 0x1.99a532p-3f,
                             -0x1.555f42p-3f, 0x1.233168p-3f,  -0x1.fbc7a8p-4f,
                             0x1.e6f076p-4f,  -0x1.e010cap-4f, 0x1.16602ep-4f};
  constexpr int32_t kSqrtHalf = 0x3F3504F3;  // bits of sqrt(1/2)
  const Vec infinity = from_bits(Int::set1(0x7F800000));
  // A subnormal's bits are its multiple of 2^-149, a number that is normal.
  const auto subnormal = x < Vec::set1(0x1p-126f);
  const Int bits = bits_of(select(subnormal, to_float(bits_of(x)), x));
  const Int from_sqrt_half = bits - Int::set1(kSqrtHalf);
  const Vec exponent = to_float(shift_right<23>(from_sqrt_half)) +
                       select(subnormal, Vec::set1(-149.0f), Vec::zero());
  const Int mantissa = (from_sqrt_half & Int::set1(0x007FFFFF)) + Int::set1(kSqrtHalf);
  const Vec f = from_bits(mantissa) - Vec::set1(1.0f);
  const Vec square = f * f;
  const Vec quadratic = fma(polynomial(f, kTail), f, Vec::set1(-0.5f));
  const Vec tail = fma(square, quadratic, exponent * Vec::set1(kLn2Low));
  const Vec result = fma(exponent, Vec::set1(kLn2High), f + tail);
  const Vec positive = select(x < infinity, result, x);
  const Vec zero_or_less = select(x == Vec::zero(), -infinity, from_bits(Int::set1(0x7FC00000)));
  return select(x <= Vec::zero(), zero_or_less, positive);
}

/// `magnitude` with the sign of `x`; magnitude >= 0 or NaN.
template <class Vec>
SWITCHYARD_DEVICE Vec with_sign_of(Vec x, Vec magnitude) {
  return from_bits(bits_of(magnitude) | (bits_of(x) & Vec::Int::set1(INT32_MIN)));
}

/// The error function, 1.03 ulp.
template <class Vec>
SWITCHYARD_DEVICE Vec erf(Vec x) {
  // erf(s) / s - 1 over s^2 on [0, 1], relative error of erf below 2e-9.
  constexpr float kSmall[] = {0x1.06eba8p-3f, -0x1.81273ep-2f,  0x1.ce2ce6p-4f, -0x1.b7f72ep-6f,
                              0x1.53f38ap-8f, -0x1.a36152p-11f, 0x1.47ac82p-14f};
  // -log(erfc(1 + s)) on [0, 2.95], absolute error of erf below 1e-8.
  constexpr float kLarge[] = {0x1.d97fcp+0f,   0x1.51c988p+1f,  0x1.afb446p-1f,  0x1.52074cp-5f,
                              -0x1.35d50cp-7f, 0x1.84e80ep-10f, -0x1.7d1b0ep-14f};
  const Vec one = Vec::set1(1.0f);
  const Vec magnitude = abs(x);
  const Vec small = fma(x, polynomial(x * x, kSmall), x);
  const Vec complement = exp(-polynomial(magnitude - one, kLarge));
  // From 3.93 on, erfc is below half an ulp of 1.
  const Vec large = select(magnitude > Vec::set1(3.93f), one, one - complement);
  return select(magnitude < one, small, with_sign_of(x, large));
}

/// Hyperbolic tangent, 1.37 ulp.
template <class Vec>
SWITCHYARD_DEVICE Vec tanh(Vec x) {
  // (tanh(s) / s - 1) / s^2 over s^2 on [0, 0.4], relative error of tanh below 6e-9.
  constexpr float kSmall[] = {-0x1.55552ep-2f, 0x1.11062p-3f, -0x1.b819b6p-5f, 0x1.51417p-6f,
                              -0x1.71d2dcp-8f};
  const Vec one = Vec::set1(1.0f);
  const Vec magnitude = abs(x);
  const Vec square = x * x;
  const Vec small = fma(magnitude * square, polynomial(square, kSmall), magnitude);
  const Vec large = one - Vec::set1(2.0f) / (exp(magnitude + magnitude) + one);
  return with_sign_of(x, select(magnitude < Vec::set1(0.625f), small, large));
}

/// The exact GELU: (x / 2) (1 + erf(x / sqrt 2)), within 1.2e-7 max(1, |x|) of the double result.
template <class Vec>
SWITCHYARD_DEVICE Vec gelu(Vec x) {
  const Vec scaled = x * Vec::set1(0x1.6a09e6p-1f);  // 1 / sqrt(2)
  return (Vec::set1(0.5f) * x) * (Vec::set1(1.0f) + erf(scaled));
}

/// x, but the lowest finite number for -infinity: activations that fade to the left end in -0, not
/// in infinity * 0.
template <class Vec>
SWITCHYARD_DEVICE Vec above_minus_infinity(Vec x) {
  return max(Vec::set1(-0x1.fffffep+127f), x);  // this order keeps NaN
}

/// GELU by its tanh approximation: (x / 2) (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), within
/// 1.3e-7 max(1, |x|) of the double result.
template <class Vec>
SWITCHYARD_DEVICE Vec gelu_tanh(Vec x) {
  const Vec finite = above_minus_infinity(x);
  const Vec inner = finite * fma(finite * finite, Vec::set1(0.044715f), Vec::set1(1.0f));
  const Vec scaled = inner * Vec::set1(0x1.988454p-1f);  // sqrt(2 / pi)
  return (Vec::set1(0.5f) * finite) * (Vec::set1(1.0f) + tanh(scaled));
}

/// 1 / (1 + exp(-x)), 2.48 ulp. 0 where exp(-x) overflows (results that would be subnormal).
template <class Vec>
SWITCHYARD_DEVICE Vec sigmoid(Vec x) {
  const Vec one = Vec::set1(1.0f);
  return one / (one + exp(-x));
}

/// x / (1 + exp(-scale x)), 2.40 ulp for scale 1; for others within 1.2e-7 max(1, |x|), for scale x
/// is rounded. -0 where exp(-scale x) overflows: for scale 1 below -88.7, from where on the
/// function is above -3e-37.
template <class Vec>
SWITCHYARD_DEVICE Vec silu(Vec x, Vec scale) {
  const Vec finite = above_minus_infinity(x);
  return finite / (Vec::set1(1.0f) + exp(-(scale * finite)));
}

}  // namespace switchyard::cpu
