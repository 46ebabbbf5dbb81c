// Normalisation of heads by their root mean square.
#pragma once

#include <cstdint>

#include "kernels/column_addresses.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct RmsNormParams {
  ColumnAddresses x;
  ColumnAddresses out;           // as many heads, may be x
  const float* gamma = nullptr;  // [width]
  int64_t num_rows = 0;
  int64_t width = 0;
  float eps = 0.0f;
};

/// One head of one row.
struct RmsNormHead {
  const float* x = nullptr;      // [width]
  const float* gamma = nullptr;  // [width]
  float* out = nullptr;          // [width], may be x
  int64_t width = 0;
  float eps = 0.0f;
};

/// See RmsNormArgs. The squares are summed in 16 lanes of ascending columns, then over the fixed
/// lane tree; out = (x * (1 / sqrt(sum / width + eps))) * gamma, each operation rounded.
void rms_norm(OpContext& context, const RmsNormParams& params);

}  // namespace switchyard::cpu
