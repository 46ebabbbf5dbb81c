// Expert placement as a user gives it.
#pragma once

#include <string>
#include <vector>

#include "parallel/expert_placement.h"
#include "runtime/model_config.h"

namespace switchyard {

/// A placement file's contents; the same on every rank, or rows go astray.
struct PlacementText {
  std::string path;  // for messages; empty: contiguous
  std::string text;
};

/// Reads a placement file; empty for an empty path. Throws Error(kInput) naming the file.
PlacementText read_placement_file(const std::string& path);

/// The placement of every MoE layer, in their order: contiguous without a file, else as the JSON
/// says:
///   {"experts": [[0], [1], [0, 1]]}            ranks of each expert, for all MoE layers
///   {"layers": {"1": [[0], ...], "3": [...]}}   by layer number, each MoE layer once
/// Throws Error(kInput) naming the file, the layer and the expert.
std::vector<LayerPlacement> make_placements(const PlacementText& file, const ModelConfig& config,
                                            int num_ranks);

}  // namespace switchyard
