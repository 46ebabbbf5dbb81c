// The hidden units of a gated feed-forward.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct GluParams {
  const float* x = nullptr;  // [num_rows, 2 units]
  FfnForm form;
  float* out = nullptr;  // [num_rows, units]
  int64_t num_rows = 0;
  int64_t units = 0;
};

/// See FfnForm.
void glu(OpContext& context, const GluParams& params);

}  // namespace switchyard::cpu
