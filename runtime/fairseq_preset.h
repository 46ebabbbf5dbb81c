// Presets of fairseq's models.
#pragma once

#include <string>
#include <vector>

#include "runtime/model_preset.h"
#include "runtime/preset_reader.h"

namespace switchyard {

/// Every key of such a preset, `family` too.
std::vector<std::string> fairseq_preset_keys();

/// The model that the keys describe. Throws Error(kUsage) as parse_preset.
ModelPreset build_fairseq_preset(const PresetReader& reader);

}  // namespace switchyard
