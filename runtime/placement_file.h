// Expert placement as a user gives it.
#pragma once

#include <string>
#include <vector>

#include "parallel/expert_placement.h"
#include "runtime/model_config.h"

namespace switchyard {

/// The placement of every MoE layer, in their order: contiguous if `path` is empty, else as the
/// JSON file says:
///   {"experts": [[0], [1], [0, 1]]}            ranks of each expert, for all MoE layers
///   {"layers": {"1": [[0], ...], "3": [...]}}   by layer number, each MoE layer once
/// Throws Error(kInput) naming the file, the layer and the expert.
std::vector<LayerPlacement> load_placements(const std::string& path, const ModelConfig& config,
                                            int num_ranks);

}  // namespace switchyard
