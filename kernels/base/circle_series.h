// What sine and cosine in double precision are computed from. The angle less n quarter turns,
// r = x - n pi / 2 with |r| <= pi / 4, then a series in r^2.
#pragma once

namespace switchyard {

inline constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
/// pi / 2 in two parts.
inline constexpr double kHalfPiHigh = 0x1.921fb54442d18p+0;
inline constexpr double kHalfPiLow = 0x1.1a62633145c07p-54;
/// Up to here n is exact and its product with pi / 2 is good to 1e-20.
inline constexpr double kLargestAngle = 0x1p40;

/// Nine terms: at |x| <= pi / 4 the next one is below 1e-18.
struct CircleSeries {
  double c[9];
};

/// The series of sin(x) / x (odd = 1) or cos(x) (odd = 0) in x^2, for constants.
consteval CircleSeries circle_series(int odd) {
  CircleSeries series{};
  double factorial = 1.0;
  for (int n = 0; n < 9; ++n) {
    if (n > 0) factorial *= (2 * n + odd) * (2 * n + odd - 1);
    series.c[n] = (n % 2 == 0 ? 1.0 : -1.0) / factorial;
  }
  return series;
}

}  // namespace switchyard
