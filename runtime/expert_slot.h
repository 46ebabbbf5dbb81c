// One expert as a slot of fast memory holds it.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "runtime/model_config.h"

namespace switchyard {

/// Names one expert of the model.
struct ExpertId {
  int moe_layer = 0;   // its layer's number among the MoE layers
  int64_t expert = 0;  // its global number in that layer

  friend bool operator==(const ExpertId&, const ExpertId&) = default;
};

/// The tensors of one expert.
struct ExpertShape {
  WeightSpec up;    // [rows_per_unit F, D]
  WeightSpec down;  // [D, F]
  HasBias bias = HasBias::kNo;

  friend bool operator==(const ExpertShape&, const ExpertShape&) = default;
};

/// Bytes of a slot of this shape: the packed matrices and the biases, one after the other.
int64_t expert_slot_bytes(const ExpertShape& shape, const Backend& backend);

/// The parts of the slot that begins at `base`, device memory of expert_slot_bytes().
ExpertWeights expert_slot(const ExpertShape& shape, const Backend& backend, void* base);

}  // namespace switchyard
