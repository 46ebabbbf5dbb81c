// Limits on numbers.
#pragma once

#include <cstdint>

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct ClampParams {
  float* x = nullptr;  // [count], in and out
  int64_t count = 0;
  float limit = 0.0f;  // not below 0
};

/// See ClampArgs. NaN stays NaN.
void clamp(OpContext& context, const ClampParams& params);

}  // namespace switchyard::cpu
