// The weighted sum of a token's expert outputs.
#pragma once

#include <cstdint>

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct CombineParams {
  const float* expert_rows = nullptr;   // [num_tokens * top_k, width]
  const int32_t* topk_idx = nullptr;    // [num_tokens, top_k]; -1: left out
  const float* topk_weights = nullptr;  // [num_tokens, top_k]
  const float* residual = nullptr;      // [num_tokens, width] or null
  const float* shared = nullptr;        // [num_tokens, width] or null
  const float* shared_gate = nullptr;   // [num_tokens] or null
  float branch_scale = 1.0f;
  float* out = nullptr;  // [num_tokens, width], may be residual
  int64_t num_tokens = 0;
  int64_t top_k = 0;  // at most kMaxTopK
  int64_t width = 0;
};

/// The sum of CombineArgs; two terms of one expert, which no router gives, would be added in order
/// of choice.
void combine(OpContext& context, const CombineParams& params);

}  // namespace switchyard::cpu
