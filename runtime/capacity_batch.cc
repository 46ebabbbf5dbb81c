#include "runtime/capacity_batch.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace switchyard {

StepUnit make_capacity_unit(std::vector<StepSequence> sequences, const CapacityShape& shape) {
  int64_t rows = shape.pad_rows_to;
  for (const StepSequence& sequence : sequences) rows = std::max(rows, sequence.num_rows());
  for (StepSequence& sequence : sequences) sequence.num_pads += rows - sequence.num_rows();
  const auto count = std::max(static_cast<int64_t>(sequences.size()), shape.pad_batch_to);
  return {std::move(sequences), count * rows};
}

int64_t expert_capacity(double fraction, const RouterSettings& router, int64_t positions) {
  if (fraction > 0) {
    // An expert gets a row once at most, so that no fraction gives more than all.
    const auto all = static_cast<double>(positions);
    return static_cast<int64_t>(std::min(all, std::ceil(fraction * all)));
  }
  return router.top_k * ((positions + router.num_experts - 1) / router.num_experts);
}

}  // namespace switchyard
