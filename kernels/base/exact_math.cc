#include "kernels/base/exact_math.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace switchyard {
namespace {

/// c[0] + c[1] x + ... by Horner's scheme in fused steps.
template <size_t kCount>
double polynomial(double x, const std::array<double, kCount>& c) {
  double sum = c[kCount - 1];
  for (size_t i = kCount - 1; i-- > 0;) sum = std::fma(sum, x, c[i]);
  return sum;
}

/// The Taylor series of exp: 1 / n! for n = 0 .. 13. At |r| <= ln(2) / 2 the next term is 5e-18.
constexpr std::array<double, 14> kExpSeries = [] {
  std::array<double, 14> c{};
  double factorial = 1.0;
  for (size_t n = 0; n < c.size(); ++n) {
    if (n > 0) factorial *= static_cast<double>(n);
    c[n] = 1.0 / factorial;
  }
  return c;
}();

/// The series of sin(x) / x (kOdd = 1) or cos(x) (kOdd = 0) in x^2, nine terms: at |x| <= pi / 4
/// the next term is below 1e-18.
template <int kOdd>
constexpr std::array<double, 9> kCircleSeries = [] {
  std::array<double, 9> c{};
  double factorial = 1.0;
  for (int n = 0; n < 9; ++n) {
    if (n > 0) factorial *= static_cast<double>((2 * n + kOdd) * (2 * n + kOdd - 1));
    c[static_cast<size_t>(n)] = (n % 2 == 0 ? 1.0 : -1.0) / factorial;
  }
  return c;
}();

/// sin(x + quarter_turns * pi / 2).
double sin_of(double x, int64_t quarter_turns) {
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kHalfPiHigh = 0x1.921fb54442d18p+0;
  constexpr double kHalfPiLow = 0x1.1a62633145c07p-54;
  // Also false for NaN. Up to here n is exact and its product with pi / 2 is good to 1e-20.
  if (!(std::fabs(x) <= 0x1p40)) return std::numeric_limits<double>::quiet_NaN();
  const double n = std::nearbyint(x * kTwoOverPi);
  const double r = std::fma(-n, kHalfPiLow, std::fma(-n, kHalfPiHigh, x));
  const int64_t quadrant = (static_cast<int64_t>(n) + quarter_turns) & 3;
  const double magnitude = (quadrant & 1) == 0 ? r * polynomial(r * r, kCircleSeries<1>)
                                               : polynomial(r * r, kCircleSeries<0>);
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
  return polynomial(r, kExpSeries) * power_of_two(half) * power_of_two(rest);
}

double sin_double(double x) { return x == 0.0 ? x : sin_of(x, 0); }

double cos_double(double x) { return sin_of(x, 1); }

}  // namespace switchyard
