// Rotary positions as config.json spells them.
#pragma once

#include "runtime/families/family_settings.h"
#include "runtime/rope_config.h"

namespace switchyard {

struct RopeSettings {
  RopeConfig rope;
  /// What the softmax scale of latent attention is multiplied by (DeepSeek's mscale squared).
  double softmax_scale = 1.0;
};

/// `rope_scaling`, or transformers 5's `rope_parameters`, with `rope_type` or `type`; theta,
/// partial_rotary_factor and original_max_position_embeddings there or at top level (modeling_rope_
/// utils.py). `head_dim` is the size that the partial factor is of. Throws Error(kInput).
RopeSettings read_rope_settings(const FamilySettings& settings, int64_t head_dim,
                                int64_t max_positions);

}  // namespace switchyard
