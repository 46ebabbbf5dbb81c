#include "runtime/moe_layer.h"

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/capacity_batch.h"
#include "runtime/feed_forward.h"
#include "runtime/norm.h"

namespace switchyard {

MoeLayer::MoeLayer(const MoeLayerParts& parts)
    : p_(parts),
      rows_computed_(parts.placements.size(), 0),
      routing_counts_(parts.placements.size()) {
  for (const LayerPlacement& placement : p_.placements) {
    std::vector<int64_t>& of_rank = max_experts_.emplace_back();
    for (int rank = 0; rank < placement.num_ranks(); ++rank) {
      of_rank.push_back(placement.num_local_experts(rank));
    }
  }
}

void MoeLayer::run(const MoeStep& step, const TensorView& normed, const TensorView& hidden) {
  const int64_t num_rows = normed.shape[0];
  router_ = p_.config.router_of(step.moe_layer);
  const PaddedStep padded{step.moe_layer, router_.top_k, step.most_rows};
  if (is_padded(padded)) return run_padded(step, padded, normed, hidden);
  const LayerPlacement& placement = p_.placements[static_cast<size_t>(step.moe_layer)];
  if (num_rows > 0) {
    route(step, normed);
    read_choices(num_rows);
  }
  predict(step, hidden);
  // Also ends every use of the plan of the step before.
  p_.backend.record(p_.compute).synchronize();
  const std::vector<int32_t> instances = choose_instances(step, placement, num_rows);
  p_.clock.begin(Phase::kIdle);
  const bool has_forecast = p_.forecast_rows > 0 && step.next_weights != nullptr;
  const std::optional<RowForecast> expected =
      has_forecast ? std::optional(forecast(step)) : std::nullopt;
  plan_ = p_.dispatcher.plan(
      placement, instances, router_.top_k, max_experts_[static_cast<size_t>(step.moe_layer)],
      {step.step, step.layer, -1, "gather of expert counts"}, expected ? &*expected : nullptr);
  rows_computed_[static_cast<size_t>(step.moe_layer)] +=
      plan_.rows_of_rank[static_cast<size_t>(p_.dispatcher.rank())];
  rounds_ += static_cast<int64_t>(plan_.rounds.size());
  begin_experts(step);
  run_rounds(step, normed);
  if (num_rows > 0) combine(step, normed, hidden);
}

bool MoeLayer::is_padded(const PaddedStep& step) const {
  if (p_.padded == nullptr || p_.layout == ExchangeLayout::kExact || !p_.padded->fits(step)) {
    return false;
  }
  return p_.layout == ExchangeLayout::kPadded ||
         p_.padded->bytes_sent(step) <= PaddedExchange::kMostAutoBytes;
}

void MoeLayer::run_padded(const MoeStep& step, const PaddedStep& padded, const TensorView& normed,
                          const TensorView& hidden) {
  const int64_t num_rows = normed.shape[0];
  const int64_t most_rows = p_.padded->most_grouped_rows(padded);
  if (most_rows == 0) return;
  if (num_rows > 0) route(step, normed);
  p_.clock.begin(Phase::kExchange);
  const TensorView& grouped = p_.workspace.view(BufferId::kGroupedIn);
  p_.padded->dispatch(padded, choices(BufferId::kTopkIdx, num_rows), normed, grouped,
                      {step.step, step.layer, -1, "padded dispatch"});
  p_.clock.begin(Phase::kExperts);
  GroupedFfnArgs ffn;
  ffn.experts = p_.cache.resident_experts(step.moe_layer);
  ffn.device_offsets = p_.padded->row_offsets(step.moe_layer);
  ffn.rows = grouped.rows(0, most_rows);
  ffn.form = p_.config.ffn_form;
  ffn.hidden = p_.workspace.view(BufferId::kGroupedHidden).rows(0, most_rows);
  ffn.out = p_.workspace.view(BufferId::kGroupedOut).rows(0, most_rows);
  p_.backend.grouped_ffn(p_.compute, ffn);
  p_.clock.begin(Phase::kExchange);
  p_.padded->combine(padded, ffn.out, p_.workspace.view(BufferId::kExpertRows),
                     {step.step, step.layer, -1, "padded combine"});
  count_recorded(step.moe_layer, num_rows);
  if (num_rows > 0) combine(step, normed, hidden);
}

bool MoeLayer::counts_on_device(int64_t most_rows) const {
  for (int layer = 0; layer < static_cast<int>(p_.placements.size()); ++layer) {
    if (!is_padded({layer, p_.config.router_of(layer).top_k, most_rows})) return false;
  }
  return most_rows > 0;
}

void MoeLayer::count_recorded(int moe_layer, int64_t num_rows) {
  counted_layers_.push_back(moe_layer);
  routing_counts_[static_cast<size_t>(moe_layer)].choices +=
      num_rows * p_.config.router_of(moe_layer).top_k;
  ++rounds_;
}

void MoeLayer::finish_step() {
  if (counted_layers_.empty()) return;
  // One copy for all layers: each would wait for the device.
  row_offsets_.resize(static_cast<size_t>(p_.padded->all_row_offsets().shape[0]));
  p_.backend.copy_to_host(p_.compute, p_.padded->all_row_offsets(), row_offsets_.data());
  p_.backend.record(p_.compute).synchronize();
  const int rank = p_.dispatcher.rank();
  size_t first = 0;
  for (size_t layer = 0; layer < p_.placements.size(); ++layer) {
    const auto num_local = static_cast<size_t>(p_.placements[layer].num_local_experts(rank));
    if (std::ranges::find(counted_layers_, static_cast<int>(layer)) != counted_layers_.end()) {
      std::vector<int64_t> rows;
      for (size_t i = first; i < first + num_local; ++i) {
        rows.push_back(row_offsets_[i + 1] - row_offsets_[i]);
      }
      rows_computed_[layer] += row_offsets_[first + num_local];
      p_.cache.count_rows(static_cast<int>(layer), rows);
    }
    first += num_local + 1;
  }
  counted_layers_.clear();
}

void MoeLayer::combine(const MoeStep& step, const TensorView& normed, const TensorView& hidden) {
  p_.clock.begin(Phase::kExperts);
  const int64_t num_rows = normed.shape[0];
  const int64_t top_k = router_.top_k;
  const bool has_shared = p_.config.shared_ffn_size > 0;
  for (int64_t row = 0; row < num_rows; row += kAttentionBlockRows) {
    const int64_t count = std::min(kAttentionBlockRows, num_rows - row);
    const TensorView x = normed.rows(row, count);
    CombineArgs args;
    args.expert_rows = p_.workspace.view(BufferId::kExpertRows).rows(row * top_k, count * top_k);
    args.topk_idx = choices(BufferId::kTopkIdx, num_rows).rows(row, count);
    args.topk_weights = choices(BufferId::kTopkWeights, num_rows).rows(row, count);
    args.residual = hidden.rows(row, count);
    args.out = args.residual;
    args.branch_scale = p_.config.residual_scale;
    if (has_shared) {
      args.shared = p_.workspace.rows(BufferId::kShared, count);
      feed_forward(p_.config, {step.weights.shared, x, {}, args.shared}, p_.workspace, p_.backend,
                   p_.compute);
    }
    if (has_shared && p_.config.shared_gate == SharedExpertGate::kSigmoid) {
      args.shared_gate = p_.workspace.rows(BufferId::kSharedGate, count);
      p_.backend.matmul(p_.compute,
                        {x, step.weights.shared_gate, {}, Activation::kNone, {}, args.shared_gate});
    }
    p_.backend.combine(p_.compute, args);
  }
}

void MoeLayer::predict(const MoeStep& step, const TensorView& hidden) {
  predicted_.clear();
  const int64_t num_rows = hidden.shape[0];
  if (step.next_weights == nullptr || num_rows == 0 || num_rows > p_.forecast_rows) return;
  const RouterSettings running = std::exchange(router_, p_.config.router_of(step.moe_layer + 1));
  TensorView x = hidden;
  if (p_.config.norm_placement == NormPlacement::kPre) {
    x = p_.workspace.rows(BufferId::kForecastRows, num_rows);
    normalize_rows(p_.config, step.next_weights->ffn_norm, hidden, x, p_.backend, p_.compute);
  }
  const TensorView idx = choices(BufferId::kForecastIdx, num_rows);
  p_.backend.route(
      p_.compute, {gate_logits(*step.next_weights, x), router_, idx,
                   choices(BufferId::kForecastWeights, num_rows), step.next_weights->selection_bias,
                   p_.config.route_scale(step.moe_layer + 1)});
  predicted_.resize(static_cast<size_t>(idx.shape.num_elements()));
  p_.backend.copy_to_host(p_.compute, idx, predicted_.data());
  router_ = running;
}

RowForecast MoeLayer::forecast(const MoeStep& step) {
  const LayerPlacement& next = p_.placements[static_cast<size_t>(step.moe_layer) + 1];
  RowForecast forecast{next, std::vector<int32_t>(static_cast<size_t>(next.num_instances()), 0)};
  const int64_t top_k = p_.config.router_of(step.moe_layer + 1).top_k;
  for (size_t i = 0; i < predicted_.size(); ++i) {
    if (predicted_[i] < 0) continue;
    const size_t row = i / static_cast<size_t>(top_k);
    const RowOrigin& origin = step.origins[row];
    const int64_t k = static_cast<int64_t>(i) - static_cast<int64_t>(row) * top_k;
    ++forecast.rows[static_cast<size_t>(
        next.instance_for(predicted_[i], origin.sequence, origin.position, k))];
  }
  return forecast;
}

void MoeLayer::begin_experts(const MoeStep& step) {
  const LayerPlacement& placement = p_.placements[static_cast<size_t>(step.moe_layer)];
  LayerUse use;
  use.moe_layer = step.moe_layer;
  use.rows.assign(static_cast<size_t>(placement.num_local_experts(p_.dispatcher.rank())), 0);
  for (const DispatchRound& round : plan_.rounds) {
    use.rounds.emplace_back(round.slots);
    for (size_t i = 0; i < round.slots.size(); ++i) {
      use.rows[static_cast<size_t>(round.slots[i])] +=
          round.row_offsets[i + 1] - round.row_offsets[i];
    }
  }
  p_.cache.begin_layer(use);
  std::vector<int64_t> likely;
  for (size_t local = 0; local < plan_.forecast.size(); ++local) {
    if (plan_.forecast[local] > 0) likely.push_back(static_cast<int64_t>(local));
  }
  if (likely.empty()) return;
  std::ranges::stable_sort(likely, std::greater{}, [this](int64_t local) {
    return plan_.forecast[static_cast<size_t>(local)];
  });
  p_.cache.expect(step.moe_layer + 1, likely);
}

TensorView MoeLayer::gate_logits(const LayerWeights& weights, const TensorView& normed) {
  const int64_t count = normed.shape[0];
  TensorView x = normed;
  if (p_.config.gate_network == GateNetwork::kTanhMlp) {
    x = p_.workspace.shaped(BufferId::kGateInner, {count, router_.num_experts});
    p_.backend.matmul(p_.compute, {normed, weights.gate_inner, {}, Activation::kTanh, {}, x});
  }
  const TensorView logits =
      p_.workspace.shaped(BufferId::kGateLogits, {count, router_.num_experts});
  p_.backend.matmul(p_.compute,
                    {x, weights.gate.weight, weights.gate.bias, Activation::kNone, {}, logits});
  return logits;
}

void MoeLayer::route(const MoeStep& step, const TensorView& normed) {
  p_.clock.begin(Phase::kGate);
  const int64_t num_rows = normed.shape[0];
  RouterSettings router = router_;
  if (p_.capacity_fraction) router.norm = GateNorm::kNone;  // what is kept decides the weights
  for (int64_t row = 0; row < num_rows; row += kAttentionBlockRows) {
    const int64_t count = std::min(kAttentionBlockRows, num_rows - row);
    const TensorView logits = gate_logits(step.weights, normed.rows(row, count));
    p_.backend.route(p_.compute,
                     {logits, router, choices(BufferId::kTopkIdx, num_rows).rows(row, count),
                      choices(BufferId::kTopkWeights, num_rows).rows(row, count),
                      step.weights.selection_bias, p_.config.route_scale(step.moe_layer)});
    observe(step, "gate_logits", row, logits);
  }
  observe(step, "topk_idx", 0, choices(BufferId::kTopkIdx, num_rows));
  if (p_.capacity_fraction) apply_capacity(step, num_rows);
  observe(step, "topk_weights", 0, choices(BufferId::kTopkWeights, num_rows));
}

void MoeLayer::read_choices(int64_t num_rows) {
  topk_idx_.resize(static_cast<size_t>(num_rows * router_.top_k));
  p_.backend.copy_to_host(p_.compute, choices(BufferId::kTopkIdx, num_rows), topk_idx_.data());
}

void MoeLayer::apply_capacity(const MoeStep& step, int64_t num_rows) {
  const CapacityRules& rules = p_.config.capacity;
  ApplyCapacityArgs args;
  args.topk_idx = choices(BufferId::kTopkIdx, num_rows);
  args.topk_weights = choices(BufferId::kTopkWeights, num_rows);
  args.mask = p_.workspace.rows(BufferId::kRouterMask, num_rows);
  args.slots = choices(BufferId::kSlots, num_rows);
  for (const CapacityRows& rows : step.capacity) {
    SWITCHYARD_CHECK(rows.positions > 0, "a unit without a capacity");
    args.batches.push_back({rows.first_row, rows.num_rows,
                            expert_capacity(*p_.capacity_fraction, router_, rows.positions)});
  }
  args.num_experts = router_.num_experts;
  args.norm = router_.norm;
  args.norm_order = rules.norm_order;
  args.slot_order = rules.slot_order;
  p_.backend.apply_capacity(p_.compute, args);
  observe(step, "slot", 0, args.slots);
}

void MoeLayer::observe(const MoeStep& step, const char* what, int64_t first_row,
                       const TensorView& rows) {
  if (p_.observer == nullptr) return;
  p_.observer->see(concat("layer.", step.layer, ".", what), first_row, rows, p_.backend,
                   p_.compute);
}

std::vector<int32_t> MoeLayer::choose_instances(const MoeStep& step,
                                                const LayerPlacement& placement, int64_t num_rows) {
  const int64_t top_k = router_.top_k;
  std::vector<int32_t> instances(static_cast<size_t>(num_rows * top_k), -1);
  RoutingCounts& counts = routing_counts_[static_cast<size_t>(step.moe_layer)];
  for (int64_t row = 0; row < num_rows; ++row) {
    const RowOrigin& origin = step.origins[static_cast<size_t>(row)];
    const bool is_masked = p_.capacity_fraction && step.router_mask[static_cast<size_t>(row)] != 0;
    if (!is_masked) counts.choices += top_k;
    for (int64_t k = 0; k < top_k; ++k) {
      const size_t copy = static_cast<size_t>(row * top_k + k);
      const int64_t expert = topk_idx_[copy];
      if (expert < 0) {
        counts.dropped += is_masked ? 0 : 1;
        continue;
      }
      SWITCHYARD_CHECK(expert < placement.num_experts());
      instances[copy] =
          static_cast<int32_t>(placement.instance_for(expert, origin.sequence, origin.position, k));
    }
  }
  return instances;
}

void MoeLayer::run_rounds(const MoeStep& step, const TensorView& normed) {
  const int num_rounds = static_cast<int>(plan_.rounds.size());
  const TensorView& expert_rows = p_.workspace.view(BufferId::kExpertRows);
  const CollectiveLabel there = {step.step, step.layer, -1, "dispatch"};
  const CollectiveLabel back = {step.step, step.layer, -1, "combine"};
  if (num_rounds > 0) {
    p_.clock.begin(Phase::kExchange);
    p_.dispatcher.dispatch(plan_, 0, normed, there);
  }
  for (int r = 0; r < num_rounds; ++r) {
    p_.clock.begin(Phase::kExchange);
    if (r + 1 < num_rounds) p_.dispatcher.dispatch(plan_, r + 1, normed, there);
    DispatchRound& round = plan_.rounds[static_cast<size_t>(r)];
    reorder_experts(p_.cache.begin_round(round.slots), round);
    p_.dispatcher.receive(plan_, r, p_.workspace.view(BufferId::kGroupedIn));
    run_experts(round);
    p_.clock.begin(Phase::kExchange);
    p_.dispatcher.give_back(plan_, r, p_.workspace.view(BufferId::kGroupedOut), back);
    if (r > 0) p_.dispatcher.take_back(plan_, r - 1, expert_rows);
  }
  if (num_rounds > 0) p_.dispatcher.take_back(plan_, num_rounds - 1, expert_rows);
}

void MoeLayer::run_experts(const DispatchRound& round) {
  const std::span<const int64_t> experts = round.slots;
  for (size_t first = 0; first < experts.size();) {
    p_.clock.begin(Phase::kLoading);
    GroupedFfnArgs ffn;
    ffn.experts = p_.cache.acquire(experts.subspan(first));
    const size_t count = ffn.experts.size();
    p_.clock.begin(Phase::kExperts);
    const int64_t begin = round.row_offsets[first];
    const int64_t num_rows = round.row_offsets[first + count] - begin;
    for (size_t i = first; i <= first + count; ++i) {
      ffn.row_offsets.push_back(round.row_offsets[i] - begin);
    }
    ffn.rows = p_.workspace.view(BufferId::kGroupedIn).rows(begin, num_rows);
    ffn.form = p_.config.ffn_form;
    ffn.hidden = p_.workspace.view(BufferId::kGroupedHidden).rows(begin, num_rows);
    ffn.out = p_.workspace.view(BufferId::kGroupedOut).rows(begin, num_rows);
    p_.backend.grouped_ffn(p_.compute, ffn);
    p_.cache.release(experts.subspan(first), count);
    first += count;
  }
}

}  // namespace switchyard
