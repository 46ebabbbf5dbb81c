// The settings that fairseq stores with every model, whether they matter or not.
#pragma once

#include "runtime/checkpoint/fairseq_settings.h"

namespace switchyard {

/// fairseq's defaults of the settings it stores, by "section.name" (or "name" outside sections), so
/// that its loader finds every key it asks for; together with ModelPreset::settings they are all.
/// The texts are those of FairseqSettings, or a list "[x]" of one value.
const FairseqSettings& fairseq_default_settings();

}  // namespace switchyard
