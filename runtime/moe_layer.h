// One mixture-of-experts feed-forward over all rows of a step.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/backend.h"
#include "parallel/padded_exchange.h"
#include "parallel/token_dispatcher.h"
#include "runtime/expert_cache.h"
#include "runtime/model_config.h"
#include "runtime/model_weights.h"
#include "runtime/phase_clock.h"
#include "runtime/step_observer.h"
#include "runtime/workspace.h"

namespace switchyard {

/// A row's place in the job: decides which copy of an expert serves it.
struct RowOrigin {
  int64_t sequence = 0;
  int64_t position = 0;
};

/// The rows of one capacity batch, and how many positions it counts; 0: no capacity.
struct CapacityRows {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int64_t positions = 0;
};

/// What a MoE step needs besides the weights it owns.
struct MoeStep {
  int layer = 0;
  int moe_layer = 0;  // its number among the MoE layers
  int64_t step = 0;
  int64_t most_rows = 0;  // T of the rank that has most
  const LayerWeights& weights;
  const std::vector<RowOrigin>& origins;  // [T]
  /// [T] 1: not routed where there is a capacity; there BufferId::kRouterMask holds it too.
  const std::vector<int32_t>& router_mask;
  const std::vector<CapacityRows>& capacity;  // cover the rows
  /// Of the MoE layer that follows; null: none.
  const LayerWeights* next_weights = nullptr;
};

/// What became of the (token, k) choices of one MoE layer's router on this rank.
struct RoutingCounts {
  int64_t choices = 0;  // of the rows that are routed
  int64_t dropped = 0;  // of these, beyond an expert's capacity (or of no weight)
};

/// What a MoeLayer works with. All references must outlive it.
struct MoeLayerParts {
  const ModelConfig& config;
  const std::vector<LayerPlacement>& placements;  // of the MoE layers, in their order
  ExpertCache& cache;
  RowExchange& dispatcher;
  PaddedExchange* padded;  // null: no step is padded
  ExchangeLayout layout;   // when one is
  const Workspace& workspace;
  Backend& backend;
  Stream& compute;
  PhaseClock& clock;
  /// Slots of an expert per position of a capacity batch; none: nothing is dropped.
  std::optional<double> capacity_fraction = std::nullopt;
  /// Rows of a rank in a step up to which the next layer's experts are predicted, equal on all
  /// ranks; 0: never.
  int64_t forecast_rows = 0;
  StepObserver* observer = nullptr;
};

/// Gate, rounds of dispatch - experts - combine, sum with the shared expert. Every rank runs every
/// step, also with no rows.
class MoeLayer {
 public:
  explicit MoeLayer(const MoeLayerParts& parts);

  /// Adds the experts' outputs for `normed` [T, D] to `hidden` [T, D].
  void run(const MoeStep& step, const TensorView& normed, const TensorView& hidden);

  /// Whether steps of so many rows at most are counted on the device in every layer: then what a
  /// layer enqueues depends on its number of rows alone.
  bool counts_on_device(int64_t most_rows) const;
  /// A layer of a step of `num_rows` rows has run as it was recorded: takes it into the account.
  void count_recorded(int moe_layer, int64_t num_rows);

  /// The step has run: takes what the device counted into the account. Waits for it.
  void finish_step();

  /// Rows this rank has computed, by MoE layer.
  const std::vector<int64_t>& rows_computed() const { return rows_computed_; }
  /// By MoE layer.
  const std::vector<RoutingCounts>& routing_counts() const { return routing_counts_; }
  /// Rounds this rank has taken part in.
  int64_t rounds() const { return rounds_; }

 private:
  bool is_padded(const PaddedStep& step) const;
  /// run() with counts on the device.
  void run_padded(const MoeStep& step, const PaddedStep& padded, const TensorView& normed,
                  const TensorView& hidden);
  void route(const MoeStep& step, const TensorView& normed);
  /// Starts the copy of the choices to the host.
  void read_choices(int64_t num_rows);
  void apply_capacity(const MoeStep& step, int64_t num_rows);
  void observe(const MoeStep& step, const char* what, int64_t first_row, const TensorView& rows);
  std::vector<int32_t> choose_instances(const MoeStep& step, const LayerPlacement& placement,
                                        int64_t num_rows);
  void run_rounds(const MoeStep& step, const TensorView& normed);
  void run_experts(const DispatchRound& round);
  /// The router's logits of a block of rows.
  TensorView gate_logits(const LayerWeights& weights, const TensorView& normed);
  /// Enqueues the prediction of the next layer's experts: its gate on the residual stream as it is
  /// now, behind that layer's own norm (arXiv 2312.17238, section 3.2).
  void predict(const MoeStep& step, const TensorView& hidden);
  /// What predict() gave, as rows per instance.
  RowForecast forecast(const MoeStep& step);
  void begin_experts(const MoeStep& step);
  /// Adds the experts' outputs and the shared expert's.
  void combine(const MoeStep& step, const TensorView& normed, const TensorView& hidden);

  /// The first rows of a buffer of [T, k], k that of the running layer.
  TensorView choices(BufferId id, int64_t num_rows) const {
    return p_.workspace.shaped(id, {num_rows, router_.top_k});
  }

  MoeLayerParts p_;
  RouterSettings router_;                          // of the running layer
  DispatchPlan plan_;                              // of the running step; the streams copy from it
  std::vector<int32_t> topk_idx_;                  // [T, k] on the host
  std::vector<int> counted_layers_;                // whose rows the device counted in this step
  std::vector<int32_t> row_offsets_;               // of all layers, as the device counted them
  std::vector<int32_t> predicted_;                 // [P, k] on the host, of the next layer
  std::vector<std::vector<int64_t>> max_experts_;  // [MoE layers][ranks]
  std::vector<int64_t> rows_computed_;
  std::vector<RoutingCounts> routing_counts_;
  int64_t rounds_ = 0;
};

}  // namespace switchyard
