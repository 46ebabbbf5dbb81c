// What an expert's capacity drops.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct CapacityParams {
  int32_t* topk_idx = nullptr;    // [num_tokens, top_k]
  float* topk_weights = nullptr;  // [num_tokens, top_k]
  const int32_t* mask = nullptr;  // [num_tokens]
  int32_t* slots = nullptr;       // [num_tokens, top_k]
  int64_t top_k = 0;
  int64_t num_experts = 0;
  GateNorm norm = GateNorm::kChosen;
  NormOrder norm_order = NormOrder::kAfterDropping;
  SlotOrder slot_order = SlotOrder::kRows;
};

/// See ApplyCapacityArgs.
void apply_capacity(OpContext& context, const CapacityParams& params,
                    const std::vector<CapacityBatch>& batches);

}  // namespace switchyard::cpu
