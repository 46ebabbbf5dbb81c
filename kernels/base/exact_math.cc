#include "kernels/base/exact_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/base/circle_series.h"

namespace switchyard {
namespace {

/// c[0] + c[1] x + ... by Horner's scheme in fused steps.
template <size_t kCount>
double polynomial(double x, const double (&c)[kCount]) {
  double sum = c[kCount - 1];
  for (size_t i = kCount - 1; i-- > 0;) sum = std::fma(sum, x, c[i]);
  return sum;
}

/// The Taylor series of exp: 1 / n! for n = 0 .. 13. At |r| <= ln(2) / 2 the next term is 5e-18.
struct ExpSeries {
  double c[14];
};
constexpr ExpSeries kExpSeries = [] {
  ExpSeries series{};
  double factorial = 1.0;
  for (int n = 0; n < 14; ++n) {
    if (n > 0) factorial *= n;
    series.c[n] = 1.0 / factorial;
  }
  return series;
}();

constexpr CircleSeries kSineSeries = circle_series(1);
constexpr CircleSeries kCosineSeries = circle_series(0);

/// sin(x + quarter_turns * pi / 2).
double sin_of(double x, int64_t quarter_turns) {
  // Also false for NaN.
  if (!(std::fabs(x) <= kLargestAngle)) return std::numeric_limits<double>::quiet_NaN();
  const double n = std::nearbyint(x * kTwoOverPi);
  const double r = std::fma(-n, kHalfPiLow, std::fma(-n, kHalfPiHigh, x));
  const int64_t quadrant = (static_cast<int64_t>(n) + quarter_turns) & 3;
  const double magnitude = (quadrant & 1) == 0 ? r * polynomial(r * r, kSineSeries.c)
                                               : polynomial(r * r, kCosineSeries.c);
  return quadrant >= 2 ? -magnitude : magnitude;
}

}  // namespace

double exp_double(double x) {
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42fefa39efp-1;
  constexpr double kLn2Low = 0x1.abc9e3b39803fp-56;
  constexpr double kLargest = 0x1.62e42fefa39efp+9;    // ln DBL_MAX
  constexpr double kSmallest = -0x1.6232bdd7abcd2p+9;  // ln 2^-1022
  if (std::isnan(x)) return x;
  if (x > kLargest) return std::numeric_limits<double>::infinity();
  if (x < kSmallest) return 0.0;
  const double n = std::nearbyint(x * kLog2E);
  const double r = std::fma(-n, kLn2Low, std::fma(-n, kLn2High, x));
  // 2^n as two factors: 2^1024 is no number of its own.
  const int64_t half = static_cast<int64_t>(n) / 2;
  const int64_t rest = static_cast<int64_t>(n) - half;
  const auto power_of_two = [](int64_t e) { return std::bit_cast<double>((e + 1023) << 52); };
  return polynomial(r, kExpSeries.c) * power_of_two(half) * power_of_two(rest);
}

double sin_double(double x) { return x == 0.0 ? x : sin_of(x, 0); }

double cos_double(double x) { return sin_of(x, 1); }

}  // namespace switchyard
