#include "runtime/transformer.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/feed_forward.h"
#include "runtime/norm.h"

namespace switchyard {

Transformer::Transformer(const TransformerParts& parts)
    : p_(parts),
      attention_({parts.config, parts.workspace, parts.cache_pages, parts.backend, parts.compute}),
      output_({parts.config, parts.weights, parts.workspace, parts.backend, parts.compute,
               parts.observer}),
      tables_(parts.workspace) {}

std::vector<SequenceOutput> Transformer::run(const StepHeader& header,
                                             const std::vector<int>& units, int64_t most_rows) {
  rows_ = collect_rows(p_.config, header, units);
  p_.clock.begin(Phase::kDense);
  if (rows_.count() > 0) upload();
  if (const std::optional<DecodeShape> shape = shape_of_step(most_rows)) {
    run_recorded(*shape, header.step, most_rows);
  } else {
    run_layers(header.step, most_rows);
  }
  p_.clock.begin(Phase::kDense);
  std::vector<SequenceOutput> outputs = output_.run(header, rows_);
  if (p_.moe != nullptr) p_.moe->finish_step();
  p_.clock.end();
  return outputs;
}

std::optional<DecodeShape> Transformer::shape_of_step(int64_t most_rows) {
  if (p_.graphs == nullptr || p_.observer != nullptr) return std::nullopt;
  if (p_.moe != nullptr && !p_.moe->counts_on_device(most_rows)) return std::nullopt;
  const int64_t pages = tables_.upload(rows_, p_.backend, p_.compute);
  if (pages < 0) return std::nullopt;
  return DecodeShape{rows_.count(), most_rows, pages};
}

void Transformer::run_recorded(const DecodeShape& shape, int64_t step, int64_t most_rows) {
  const auto done = p_.graphs->run(shape, step, [&] { run_layers(step, most_rows); });
  if (done != StepGraphs::Done::kLaunched || p_.moe == nullptr) return;
  for (int layer = 0; layer < p_.config.num_moe_layers(); ++layer) {
    p_.moe->count_recorded(layer, rows_.count());
  }
}

void Transformer::run_layers(int64_t step, int64_t most_rows) {
  if (rows_.count() > 0) embed();
  for (int layer = 0; layer < p_.config.num_layers(); ++layer) {
    p_.clock.enter_layer(layer);
    if (rows_.count() > 0) attention(layer);
    feed_forward(layer, step, most_rows);
    if (rows_.count() == 0) continue;
    const TensorView hidden = p_.workspace.rows(BufferId::kHidden, rows_.count());
    check_finite(hidden, layer + 1);
    observe(concat("layer.", layer, ".output"), hidden);
  }
  p_.clock.enter_layer(-1);
}

void Transformer::upload() {
  const Workspace& workspace = p_.workspace;
  const int64_t count = rows_.count();
  const auto copy = [&](const auto& values, const TensorView& to) {
    p_.backend.copy_to_device(p_.compute, values.data(), to);
  };
  const TensorView positions = workspace.rows(BufferId::kPositions, count);
  copy(rows_.ids, workspace.rows(BufferId::kIds, count));
  copy(rows_.positions, positions);
  if (workspace.view(BufferId::kRouterMask).data != nullptr) {  // only with a capacity
    copy(rows_.router_mask, workspace.rows(BufferId::kRouterMask, count));
  }
  if (p_.config.position_kind != PositionKind::kRotary) return;
  const auto num_sets = static_cast<int64_t>(rows_.rope_scales.size());
  const RopeTableArgs rope = {positions, workspace.rows(BufferId::kRopeSets, count),
                              workspace.rows(BufferId::kRopeFrequencies, num_sets),
                              workspace.rows(BufferId::kRopeScales, num_sets),
                              workspace.rows(BufferId::kRopeTable, count)};
  copy(rows_.rope_sets, rope.frequency_set);
  copy(rows_.rope_frequencies, rope.frequencies);
  copy(rows_.rope_scales, rope.scales);
  p_.backend.rope_table(p_.compute, rope);
}

void Transformer::embed() {
  const TensorView hidden = p_.workspace.rows(BufferId::kHidden, rows_.count());
  p_.backend.embed(p_.compute,
                   {p_.workspace.rows(BufferId::kIds, rows_.count()),
                    p_.workspace.rows(BufferId::kPositions, rows_.count()), p_.weights.embedding(),
                    p_.weights.positions(), p_.config.embedding_scale, hidden});
  check_finite(hidden, 0);
  observe("embed", hidden);
}

void Transformer::norm(const NormWeights& weights, const TensorView& x, const TensorView& out) {
  normalize_rows(p_.config, weights, x, out, p_.backend, p_.compute);
}

void Transformer::check_finite(const TensorView& x, int64_t check) {
  p_.backend.find_non_finite(p_.compute,
                             {x, p_.workspace.view(BufferId::kNonFinite).rows(check, 1)});
}

void Transformer::observe(const std::string& name, const TensorView& rows) {
  if (p_.observer != nullptr) p_.observer->see(name, 0, rows, p_.backend, p_.compute);
}

void Transformer::attention(int layer) {
  p_.clock.begin(Phase::kAttention);
  const LayerWeights& weights = p_.weights.layers()[static_cast<size_t>(layer)];
  const bool is_pre_norm = p_.config.norm_placement == NormPlacement::kPre;
  for (int64_t row = 0; row < rows_.count(); row += kAttentionBlockRows) {
    const int64_t count = std::min(kAttentionBlockRows, rows_.count() - row);
    const TensorView hidden = p_.workspace.view(BufferId::kHidden).rows(row, count);
    TensorView x = hidden;
    if (is_pre_norm) {
      x = p_.workspace.view(BufferId::kNormed).rows(row, count);
      norm(weights.attention_norm, hidden, x);
    }
    attention_.run(layer, weights.attention, rows_.attention, row, x, hidden);
    if (!is_pre_norm) norm(weights.attention_norm, hidden, hidden);
  }
}

void Transformer::feed_forward(int layer, int64_t step, int64_t most_rows) {
  const LayerWeights& weights = p_.weights.layers()[static_cast<size_t>(layer)];
  const bool is_moe = p_.config.is_moe(layer);
  const bool is_pre_norm = p_.config.norm_placement == NormPlacement::kPre;
  p_.clock.begin(is_moe ? Phase::kGate : Phase::kDense);
  const TensorView hidden = p_.workspace.rows(BufferId::kHidden, rows_.count());
  const TensorView normed =
      is_pre_norm ? p_.workspace.rows(BufferId::kNormed, rows_.count()) : hidden;
  if (is_pre_norm && rows_.count() > 0) norm(weights.ffn_norm, hidden, normed);
  if (is_moe) {
    const auto kinds = p_.config.layers.begin();
    const int moe_layer = static_cast<int>(std::count(kinds, kinds + layer, FfnKind::kMoe));
    const auto next = std::find(kinds + layer + 1, p_.config.layers.end(), FfnKind::kMoe);
    const LayerWeights* const next_weights =
        next == p_.config.layers.end() ? nullptr
                                       : &p_.weights.layers()[static_cast<size_t>(next - kinds)];
    p_.moe->run({layer, moe_layer, step, most_rows, weights, rows_.origins, rows_.router_mask,
                 rows_.capacity, next_weights},
                normed, hidden);
  } else if (rows_.count() > 0) {
    dense_ffn(weights, normed);
  }
  if (!is_pre_norm && rows_.count() > 0) norm(weights.ffn_norm, hidden, hidden);
}

void Transformer::dense_ffn(const LayerWeights& layer, const TensorView& source) {
  for (int64_t row = 0; row < rows_.count(); row += kAttentionBlockRows) {
    const int64_t count = std::min(kAttentionBlockRows, rows_.count() - row);
    const TensorView hidden = p_.workspace.view(BufferId::kHidden).rows(row, count);
    switchyard::feed_forward(
        p_.config, {layer.ffn, source.rows(row, count), hidden, hidden, p_.config.residual_scale},
        p_.workspace, p_.backend, p_.compute);
  }
}

}  // namespace switchyard
