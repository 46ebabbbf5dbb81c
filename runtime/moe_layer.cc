#include "runtime/moe_layer.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace switchyard {

MoeLayer::MoeLayer(const ModelConfig& config, const std::vector<LayerPlacement>& placements,
                   ExpertCache& cache, TokenDispatcher& dispatcher, const Workspace& workspace,
                   Backend& backend, Stream& compute, PhaseClock& clock)
    : config_(config),
      placements_(placements),
      cache_(cache),
      dispatcher_(dispatcher),
      workspace_(workspace),
      backend_(backend),
      compute_(compute),
      clock_(clock),
      rows_computed_(placements.size(), 0) {
  for (const LayerPlacement& placement : placements) {
    std::vector<int64_t>& of_rank = max_experts_.emplace_back();
    for (int rank = 0; rank < placement.num_ranks(); ++rank) {
      of_rank.push_back(placement.num_local_experts(rank));
    }
  }
}

void MoeLayer::run(const MoeStep& step, const TensorView& normed, const TensorView& hidden) {
  const int64_t num_rows = normed.shape[0];
  const LayerPlacement& placement = placements_[static_cast<size_t>(step.moe_layer)];
  if (num_rows > 0) route(step, normed);
  // Also ends every use of the plan of the step before.
  backend_.record(compute_).synchronize();
  const std::vector<int32_t> instances = choose_instances(step, placement, num_rows);
  clock_.begin(Phase::kIdle);
  plan_ = dispatcher_.plan(placement, instances, config_.router.top_k,
                           max_experts_[static_cast<size_t>(step.moe_layer)],
                           {step.step, step.layer, -1, "gather of expert counts"});
  rows_computed_[static_cast<size_t>(step.moe_layer)] +=
      plan_.rows_of_rank[static_cast<size_t>(dispatcher_.rank())];
  rounds_ += static_cast<int64_t>(plan_.rounds.size());
  run_rounds(step, normed);
  if (num_rows > 0) {
    clock_.begin(Phase::kExperts);
    const int64_t copies = num_rows * config_.router.top_k;
    backend_.combine(compute_, {workspace_.rows(BufferId::kExpertRows, copies),
                                workspace_.rows(BufferId::kTopkIdx, num_rows),
                                workspace_.rows(BufferId::kTopkWeights, num_rows), hidden, hidden});
  }
}

void MoeLayer::route(const MoeStep& step, const TensorView& normed) {
  clock_.begin(Phase::kGate);
  const int64_t num_rows = normed.shape[0];
  for (int64_t row = 0; row < num_rows; row += kAttentionBlockRows) {
    const int64_t count = std::min(kAttentionBlockRows, num_rows - row);
    MatmulArgs gate;
    gate.x = normed.rows(row, count);
    gate.w = step.gate;
    gate.out = workspace_.rows(BufferId::kGateLogits, count);
    backend_.matmul(compute_, gate);
    backend_.route(compute_,
                   {gate.out, config_.router, workspace_.view(BufferId::kTopkIdx).rows(row, count),
                    workspace_.view(BufferId::kTopkWeights).rows(row, count)});
  }
  topk_idx_.resize(static_cast<size_t>(num_rows * config_.router.top_k));
  backend_.copy_to_host(compute_, workspace_.rows(BufferId::kTopkIdx, num_rows), topk_idx_.data());
  backend_.record(compute_).synchronize();
}

std::vector<int32_t> MoeLayer::choose_instances(const MoeStep& step,
                                                const LayerPlacement& placement, int64_t num_rows) {
  const int64_t top_k = config_.router.top_k;
  std::vector<int32_t> instances(static_cast<size_t>(num_rows * top_k));
  for (int64_t row = 0; row < num_rows; ++row) {
    const RowOrigin& origin = (*step.origins)[static_cast<size_t>(row)];
    for (int64_t k = 0; k < top_k; ++k) {
      const size_t copy = static_cast<size_t>(row * top_k + k);
      const int64_t expert = topk_idx_[copy];
      SWITCHYARD_CHECK(expert >= 0 && expert < placement.num_experts());
      instances[copy] =
          static_cast<int32_t>(placement.instance_for(expert, origin.sequence, origin.position, k));
    }
  }
  return instances;
}

void MoeLayer::run_rounds(const MoeStep& step, const TensorView& normed) {
  const int num_rounds = static_cast<int>(plan_.rounds.size());
  const TensorView& expert_rows = workspace_.view(BufferId::kExpertRows);
  const CollectiveLabel there = {step.step, step.layer, -1, "dispatch"};
  const CollectiveLabel back = {step.step, step.layer, -1, "combine"};
  if (num_rounds > 0) {
    clock_.begin(Phase::kExchange);
    dispatcher_.dispatch(plan_, 0, normed, there);
  }
  for (int r = 0; r < num_rounds; ++r) {
    clock_.begin(Phase::kExchange);
    if (r + 1 < num_rounds) dispatcher_.dispatch(plan_, r + 1, normed, there);
    dispatcher_.receive(plan_, r, workspace_.view(BufferId::kGroupedIn));
    clock_.begin(Phase::kExperts);
    run_experts(plan_.rounds[static_cast<size_t>(r)], step.moe_layer);
    clock_.begin(Phase::kExchange);
    dispatcher_.give_back(plan_, r, workspace_.view(BufferId::kGroupedOut), back);
    if (r > 0) dispatcher_.take_back(plan_, r - 1, expert_rows);
  }
  if (num_rounds > 0) dispatcher_.take_back(plan_, num_rounds - 1, expert_rows);
}

void MoeLayer::run_experts(const DispatchRound& round, int moe_layer) {
  if (round.num_received() == 0) return;
  GroupedFfnArgs ffn;
  ffn.rows = workspace_.rows(BufferId::kGroupedIn, round.num_received());
  ffn.row_offsets = round.row_offsets;
  ffn.experts = cache_.acquire(moe_layer, round.slots);
  ffn.activation = config_.activation;
  ffn.hidden = workspace_.rows(BufferId::kGroupedHidden, round.num_received());
  ffn.out = workspace_.rows(BufferId::kGroupedOut, round.num_received());
  backend_.grouped_ffn(compute_, ffn);
}

}  // namespace switchyard
