// The choice of experts.
#pragma once

#include <cstdint>

#include "kernels/base/device_code.h"
#include "kernels/ops.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct RouteParams {
  const float* logits = nullptr;          // [num_tokens, num_experts]
  const float* selection_bias = nullptr;  // [num_experts] or null
  int32_t* topk_idx = nullptr;            // [num_tokens, top_k]
  float* topk_weights = nullptr;          // [num_tokens, top_k]
  int64_t num_tokens = 0;
  RouterSettings settings;
  float scale = 1.0f;

  /// Whether the logits, of which every score is an ascending function, decide by themselves.
  SWITCHYARD_DEVICE bool chooses_by_logits() const {
    const bool adds_scores = settings.num_groups > 1 && settings.group_score == GroupScore::kTopTwo;
    return selection_bias == nullptr && !adds_scores;
  }
  /// Floats of a row's scratch: scores to choose by, a score for each group, the kept groups'
  /// scores and numbers.
  int64_t scratch_floats() const {
    return settings.num_experts + settings.num_groups + 2 * settings.kept_groups;
  }
};

/// See RouteArgs. The softmax's sum runs in 16 lanes of ascending experts, then over the fixed lane
/// tree.
void route(OpContext& context, const RouteParams& params);

}  // namespace switchyard::cpu
