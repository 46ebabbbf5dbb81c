// Normalisation of rows.
#pragma once

#include <cstdint>

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct LayerNormParams {
  const float* x = nullptr;      // [num_rows, width]
  const float* gamma = nullptr;  // [width]
  const float* beta = nullptr;   // [width]
  float* out = nullptr;          // [num_rows, width], may be x
  int64_t num_rows = 0;
  int64_t width = 0;
  float eps = 0.0f;
};

/// See LayerNormArgs. Mean and variance are each summed in 16 lanes of ascending columns, then over
/// the fixed lane tree; out = fma((x - mean) * (1 / sqrt(variance + eps)), gamma, beta).
void layer_norm(OpContext& context, const LayerNormParams& params);

}  // namespace switchyard::cpu
