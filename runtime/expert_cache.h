// This rank's experts in the fast tier.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "runtime/model_config.h"

namespace switchyard {

/// The matrices of every expert of one MoE layer.
struct ExpertShape {
  WeightSpec up;    // [F, D]
  WeightSpec down;  // [D, F]
};

/// One MoE layer's share of a rank.
struct ExpertLayer {
  ExpertShape shape;
  int64_t num_local_experts = 0;
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
  std::vector<int64_t> layer_offsets_;
  DeviceBuffer memory_;
};

}  // namespace switchyard
