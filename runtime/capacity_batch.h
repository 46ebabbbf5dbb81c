// The batches on which fairseq's expert capacity depends.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/model_config.h"
#include "runtime/step.h"

namespace switchyard {

/// What a capacity batch looks like, whatever runs in it.
struct CapacityShape {
  /// Slots of an expert per position, 0 or less: by the number of experts (see expert_capacity).
  double fraction = 0.25;
  int64_t batch_size = 1;    ///< sequences of a batch; the last may have fewer
  int64_t pad_batch_to = 0;  ///< sequences that are counted at least; 0: those that are there
  int64_t pad_rows_to = 0;   ///< rows of every sequence at least; 0: those of the longest
};

/// One unit of `sequences`, each right-padded to the longest of them and to shape.pad_rows_to.
StepUnit make_capacity_unit(std::vector<StepSequence> sequences, const CapacityShape& shape);

/// Slots of each expert for a batch of `positions` (fairseq, top2gate.py and top1gate.py at
/// evaluation): ceil(fraction * positions) in double precision, rounding noise kept, or with a
/// fraction of 0 or less top_k * ceil(positions / num_experts).
int64_t expert_capacity(double fraction, const RouterSettings& router, int64_t positions);

}  // namespace switchyard
