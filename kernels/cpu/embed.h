// Token and position embeddings.
#pragma once

#include <cstdint>

#include "kernels/weight.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct EmbedParams {
  const int32_t* ids = nullptr;           // [num_tokens]
  const int32_t* positions = nullptr;     // [num_tokens], null without a position table
  Weight table;                           // [vocabulary, width], host memory
  const float* position_table = nullptr;  // [num_positions, width] or null
  float* out = nullptr;                   // [num_tokens, width]
  int64_t num_tokens = 0;
  int64_t num_positions = 0;
  float scale = 1.0f;
};

/// See EmbedArgs: the product is rounded, then the sum. An id or position out of range is an
/// internal error.
void embed(OpContext& context, const EmbedParams& params);

}  // namespace switchyard::cpu
