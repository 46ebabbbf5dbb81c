// What stands between two matrices, for any vector type of kernels/cpu/simd.
#pragma once

#include <cstdint>

#include "kernels/base/device_code.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"
#include "kernels/ops.h"

namespace switchyard::cpu {

/// 1 / (1 + exp(-x)) of one number.
template <class Vec>
SWITCHYARD_DEVICE float sigmoid_of(float x) {
  return first_lane(sigmoid(Vec::set1(x)));
}

template <class Vec>
SWITCHYARD_DEVICE Vec activate(Activation activation, Vec x) {
  switch (activation) {
    case Activation::kRelu:
      // 0 only where x is below it: a NaN stays.
      return select(x < Vec::zero(), Vec::zero(), x);
    case Activation::kGelu:
      return gelu(x);
    case Activation::kGeluTanh:
      return gelu_tanh(x);
    case Activation::kSilu:
      return silu(x, Vec::set1(1.0f));
    case Activation::kTanh:
      return tanh(x);
    case Activation::kNone:
      break;
  }
  return x;
}

/// The hidden units of gates and linear parts; see FfnForm.
template <class Vec>
SWITCHYARD_DEVICE Vec gated(const FfnForm& form, Vec gate, Vec linear) {
  if (form.limit > 0.0f) {
    // In this order min and max keep NaN.
    const Vec limit = Vec::set1(form.limit);
    gate = min(limit, gate);
    linear = max(-limit, min(limit, linear));
  }
  if (form.up_offset != 0.0f) linear = linear + Vec::set1(form.up_offset);
  const Vec activated = form.activation == Activation::kSilu
                            ? silu(gate, Vec::set1(form.gate_scale))
                            : activate(form.activation, gate);
  return linear * activated;
}

/// One row: out[units] of x[2 units]. `out` may begin where x does, for a vector's inputs are read
/// before its outputs are written, which lie no further on.
template <class Vec>
SWITCHYARD_DEVICE void glu_row(const FfnForm& form, const float* x, int64_t units, float* out) {
  const bool is_interleaved = form.glu == GluLayout::kInterleaved;
  float gates[16] = {};
  float linears[16] = {};
  for (int64_t i = 0; i < units; i += 16) {
    const int lanes = units - i < 16 ? static_cast<int>(units - i) : 16;
    if (is_interleaved) {
      for (int lane = 0; lane < lanes; ++lane) {
        gates[lane] = x[2 * (i + lane)];
        linears[lane] = x[2 * (i + lane) + 1];
      }
      gated(form, Vec::load(gates), Vec::load(linears)).store_partial(out + i, lanes);
    } else {
      const Vec gate = Vec::load_partial(x + i, lanes);
      const Vec linear = Vec::load_partial(x + units + i, lanes);
      gated(form, gate, linear).store_partial(out + i, lanes);
    }
  }
}

}  // namespace switchyard::cpu
