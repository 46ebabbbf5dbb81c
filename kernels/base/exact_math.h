// Functions of single numbers in double precision, for tables that are made once when a model is
// loaded. libm is not used: its results differ between machines and releases. Fixed chains of
// correctly rounded operations give the same bits everywhere; their relative error stays below
// 1e-15, so that a result rounded to fp32 is the correctly rounded one but for about one argument
// in 10^8.
#pragma once

namespace switchyard {

/// exp(x). 0 below ln 2^-1022, infinity above ln DBL_MAX; NaN stays NaN.
double exp_double(double x);

/// Sine and cosine of an angle in radians; |x| <= 2^40 (positions times frequencies are below
/// 2^24), NaN beyond.
double sin_double(double x);
double cos_double(double x);

}  // namespace switchyard
