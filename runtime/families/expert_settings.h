// Experts and routers as config.json describes them.
#pragma once

#include "runtime/families/family_settings.h"
#include "runtime/model_config.h"

namespace switchyard {

/// Fills which layers of `config` have experts, and what they, the router and the shared expert
/// are; its number of layers is set. Throws Error(kInput).
void read_expert_settings(const FamilySettings& settings, ModelConfig& config);

}  // namespace switchyard
