// Attention as config.json describes it.
#pragma once

#include <string_view>

#include "runtime/families/family_settings.h"
#include "runtime/model_config.h"

namespace switchyard {

/// Whether a linear map has a bias, by a setting that is true or false.
HasBias bias_flag(const FamilySettings& settings, std::string_view name);

/// Fills what `config` says of heads, latents, biases, norms of heads and windows; its width and
/// number of layers are set. Throws Error(kInput).
void read_attention_settings(const FamilySettings& settings, ModelConfig& config);

}  // namespace switchyard
