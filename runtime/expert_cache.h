// This rank's experts in the fast tier.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "runtime/model_config.h"

namespace switchyard {

/// The tensors of one expert.
struct ExpertShape {
  WeightSpec up;    // [rows_per_unit F, D]
  WeightSpec down;  // [D, F]
  HasBias bias = HasBias::kNo;
};

/// One MoE layer's share of a rank.
struct ExpertLayer {
  std::vector<ExpertShape> experts;  // by local number

  int64_t num_local_experts() const { return static_cast<int64_t>(experts.size()); }
};

/// Slots with ready-to-compute experts, addressed by (MoE layer, local expert). Every expert of the
/// rank has its own slot.
class ExpertCache {
 public:
  /// Bytes of one slot of this shape.
  static int64_t slot_bytes(const ExpertShape& shape, const Backend& backend);
  /// Bytes of all slots.
  static int64_t total_bytes(const std::vector<ExpertLayer>& layers, const Backend& backend);

  /// Allocates the slots; their contents are undefined until the loader has filled them.
  ExpertCache(std::vector<ExpertLayer> layers, Backend& backend);

  const std::vector<ExpertLayer>& layers() const { return layers_; }
  int64_t bytes() const { return memory_.bytes(); }

  /// The slot of an expert.
  ExpertWeights slot(int moe_layer, int64_t local_expert) const;

  /// The table of slots for a round's experts.
  std::vector<ExpertWeights> acquire(int moe_layer, std::span<const int64_t> local_experts) const;

 private:
  Backend& backend_;
  std::vector<ExpertLayer> layers_;
  std::vector<std::vector<int64_t>> offsets_;  // of the slots, by layer and local expert
  DeviceBuffer memory_;
};

}  // namespace switchyard
