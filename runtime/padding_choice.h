// Whether a job's MoE steps may be counted on the device.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "parallel/control_channel.h"
#include "parallel/expert_placement.h"
#include "runtime/cache_sizes.h"
#include "runtime/runtime_settings.h"

namespace switchyard {

/// What a rank knows when it has planned its experts.
struct PaddingFacts {
  const std::vector<LayerPlacement>& placements;
  const std::vector<ExpertLayer>& experts;  // of this rank
  bool is_resident = true;
};

/// Whether steps are padded where they fit. Collective. Throws AgreedError(kUsage) that says why
/// where the settings force what cannot be.
bool choose_padding(const RuntimeSettings& settings, const PaddingFacts& facts,
                    const Backend& backend, ControlChannel& control);

}  // namespace switchyard
