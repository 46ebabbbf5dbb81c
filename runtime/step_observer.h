// A look into a running step.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/backend.h"

namespace switchyard {

/// Sees intermediate results of every step of a rank, for comparisons with other implementations.
/// Names: "embed", and for layer i "layer.i.output", in MoE layers "layer.i.gate_logits",
/// "layer.i.topk_idx", "layer.i.topk_weights", with a capacity "layer.i.slot".
class StepObserver {
 public:
  StepObserver() = default;
  StepObserver(const StepObserver&) = delete;
  StepObserver& operator=(const StepObserver&) = delete;
  virtual ~StepObserver() = default;

  /// Rows [first_row, first_row + rows.shape[0]) of the tensor `name` of the running step. `rows`
  /// is device memory, complete once `stream` has passed this point.
  virtual void see(const std::string& name, int64_t first_row, const TensorView& rows,
                   Backend& backend, Stream& stream) = 0;
};

}  // namespace switchyard
