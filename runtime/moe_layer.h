// One mixture-of-experts feed-forward over all rows of a step.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "parallel/token_dispatcher.h"
#include "runtime/expert_cache.h"
#include "runtime/model_config.h"
#include "runtime/phase_clock.h"
#include "runtime/workspace.h"

namespace switchyard {

/// A row's place in the job: decides which copy of an expert serves it.
struct RowOrigin {
  int64_t sequence = 0;
  int64_t position = 0;
};

/// What a MoE step needs besides the weights it owns.
struct MoeStep {
  int layer = 0;
  int moe_layer = 0;  // its number among the MoE layers
  int64_t step = 0;
  Weight gate;                                      // [E, D]
  const std::vector<RowOrigin>* origins = nullptr;  // [T]
};

/// What a MoeLayer works with. All references must outlive it.
struct MoeLayerParts {
  const ModelConfig& config;
  const std::vector<LayerPlacement>& placements;  // of the MoE layers, in their order
  const ExpertCache& cache;
  TokenDispatcher& dispatcher;
  const Workspace& workspace;
  Backend& backend;
  Stream& compute;
  PhaseClock& clock;
};

/// Gate, rounds of dispatch - experts - combine, sum. Every rank runs every step, also with no
/// rows.
class MoeLayer {
 public:
  explicit MoeLayer(const MoeLayerParts& parts);

  /// Adds the experts' outputs for `normed` [T, D] to `hidden` [T, D].
  void run(const MoeStep& step, const TensorView& normed, const TensorView& hidden);

  /// Rows this rank has computed, by MoE layer.
  const std::vector<int64_t>& rows_computed() const { return rows_computed_; }
  /// Rounds this rank has taken part in.
  int64_t rounds() const { return rounds_; }

 private:
  void route(const MoeStep& step, const TensorView& normed);
  std::vector<int32_t> choose_instances(const MoeStep& step, const LayerPlacement& placement,
                                        int64_t num_rows);
  void run_rounds(const MoeStep& step, const TensorView& normed);
  void run_experts(const DispatchRound& round, int moe_layer);

  MoeLayerParts p_;
  DispatchPlan plan_;                              // of the running step; the streams copy from it
  std::vector<int32_t> topk_idx_;                  // [T, k] on the host
  std::vector<std::vector<int64_t>> max_experts_;  // [MoE layers][ranks]
  std::vector<int64_t> rows_computed_;
  int64_t rounds_ = 0;
};

}  // namespace switchyard
