// The choice of experts.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct RouteParams {
  const float* logits = nullptr;  // [num_tokens, num_experts]
  int32_t* topk_idx = nullptr;    // [num_tokens, top_k]
  float* topk_weights = nullptr;  // [num_tokens, top_k]
  int64_t num_tokens = 0;
  int64_t num_experts = 0;
  int64_t top_k = 0;
  GateNorm norm = GateNorm::kChosen;
};

/// See RouteArgs. The softmax's sum runs in 16 lanes of ascending experts, then over the fixed lane
/// tree. Indices are distinct and valid also where a logit is NaN; then all weights are NaN.
void route(OpContext& context, const RouteParams& params);

}  // namespace switchyard::cpu
