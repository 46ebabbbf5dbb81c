#include "runtime/transformer.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// The parts of `sequences` that lie in rows [first, first + count), renumbered from `first`.
std::vector<SequenceRows> clip(const std::vector<SequenceRows>& sequences, int64_t first,
                               int64_t count) {
  std::vector<SequenceRows> clipped;
  for (const SequenceRows& sequence : sequences) {
    const int64_t begin = std::max(sequence.first_row, first);
    const int64_t end = std::min(sequence.first_row + sequence.num_rows, first + count);
    if (begin >= end) continue;
    clipped.push_back({begin - first, end - begin,
                       sequence.first_position + begin - sequence.first_row,
                       sequence.first_page_entry, sequence.num_keys});
  }
  return clipped;
}

template <typename T>
std::vector<T> slice(const std::vector<T>& values, int64_t first, int64_t count) {
  if (values.empty()) return {};
  return {values.begin() + first, values.begin() + first + count};
}

}  // namespace

std::vector<SequenceOutput> Transformer::run(const StepHeader& header,
                                             const std::vector<int>& units) {
  std::vector<const StepSequence*> sequences;
  rows_ = {};
  for (const int index : units) {
    const StepUnit& unit = header.units[static_cast<size_t>(index)];
    const int64_t first_row = rows_.count();
    for (const StepSequence& sequence : unit.sequences) {
      sequences.push_back(&sequence);
      collect_sequence(sequence);
    }
    rows_.capacity.push_back({first_row, rows_.count() - first_row, unit.capacity_positions});
  }
  p_.clock.begin(Phase::kDense);
  if (rows_.count() > 0) embed();
  for (int layer = 0; layer < p_.config.num_layers(); ++layer) {
    if (rows_.count() > 0) attention(layer);
    feed_forward(layer, header.step);
    if (rows_.count() == 0) continue;
    const TensorView hidden = p_.workspace.rows(BufferId::kHidden, rows_.count());
    check_finite(hidden, layer + 1);
    observe(concat("layer.", layer, ".output"), hidden);
  }
  p_.clock.begin(Phase::kDense);
  log_probs(header.top_logprobs);
  const Results results = fetch(header.top_logprobs);
  p_.clock.end();
  require_finite(results);

  std::vector<SequenceOutput> outputs;
  int64_t next = 0;
  for (const StepSequence* sequence : sequences) {
    const int64_t count = static_cast<int64_t>(sequence->target_ids.size());
    const int64_t top = header.top_logprobs;
    outputs.push_back({sequence->sequence, slice(results.logprobs, next, count),
                       slice(results.greedy, next, count),
                       slice(results.top_ids, next * top, count * top),
                       slice(results.top_logprobs, next * top, count * top)});
    next += count;
  }
  return outputs;
}

void Transformer::collect_sequence(const StepSequence& sequence) {
  const ModelConfig& config = p_.config;
  const int64_t first_row = rows_.count();
  const auto num_inputs = static_cast<int64_t>(sequence.input_ids.size());
  const auto first_page_entry = static_cast<int64_t>(rows_.page_table.size());
  SWITCHYARD_CHECK(sequence.first_position == 0 && num_inputs <= config.max_positions);
  const auto add_rows = [&](int64_t first, int64_t count) {
    if (count == 0) return;
    rows_.sequences.push_back({first_row + first, count, first, first_page_entry, num_inputs});
  };
  add_rows(0, num_inputs);
  add_rows(num_inputs, sequence.num_pads);
  for (int64_t page = 0; page < pages_of(sequence.num_rows()); ++page) {
    rows_.page_table.push_back(static_cast<int32_t>(rows_.page_table.size()));
  }
  for (int64_t i = 0; i < sequence.num_rows(); ++i) {
    const bool is_pad = i >= num_inputs;
    rows_.ids.push_back(is_pad ? config.pad_token : sequence.input_ids[static_cast<size_t>(i)]);
    // The row before position 0's belongs to padding.
    rows_.positions.push_back(static_cast<int32_t>(config.position_offset + (is_pad ? -1 : i)));
    rows_.router_mask.push_back(is_pad && config.capacity.pads == PadRouting::kMasked ? 1 : 0);
    rows_.origins.push_back({sequence.sequence, i});
  }
  for (size_t i = 0; i < sequence.target_ids.size(); ++i) {
    rows_.targets.push_back(sequence.target_ids[i]);
    rows_.target_rows.push_back(
        static_cast<int32_t>(first_row + sequence.first_target_row + static_cast<int64_t>(i)));
  }
}

void Transformer::embed() {
  const TensorView ids = p_.workspace.rows(BufferId::kIds, rows_.count());
  const TensorView positions = p_.workspace.rows(BufferId::kPositions, rows_.count());
  p_.backend.copy_to_device(p_.compute, rows_.ids.data(), ids);
  p_.backend.copy_to_device(p_.compute, rows_.positions.data(), positions);
  if (p_.workspace.view(BufferId::kRouterMask).data != nullptr) {  // only with a capacity
    p_.backend.copy_to_device(p_.compute, rows_.router_mask.data(),
                              p_.workspace.rows(BufferId::kRouterMask, rows_.count()));
  }
  const TensorView hidden = p_.workspace.rows(BufferId::kHidden, rows_.count());
  p_.backend.embed(p_.compute, {ids, positions, p_.weights.embedding(), p_.weights.positions(),
                                p_.config.embedding_scale, hidden});
  check_finite(hidden, 0);
  observe("embed", hidden);
}

void Transformer::norm(const NormWeights& weights, const TensorView& x, const TensorView& out) {
  p_.backend.layer_norm(p_.compute, {x, weights.gamma, weights.beta, p_.config.norm_eps, out});
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
  for (int64_t row = 0; row < rows_.count(); row += kAttentionBlockRows) {
    attention_block(layer, row, std::min(kAttentionBlockRows, rows_.count() - row));
  }
}

void Transformer::attention_block(int layer, int64_t first_row, int64_t num_rows) {
  const LayerWeights& weights = p_.weights.layers()[static_cast<size_t>(layer)];
  const Workspace& workspace = p_.workspace;
  const ModelConfig& config = p_.config;
  const TensorView hidden = workspace.view(BufferId::kHidden).rows(first_row, num_rows);
  TensorView x = hidden;
  if (config.norm_placement == NormPlacement::kPre) {
    x = workspace.view(BufferId::kNormed).rows(first_row, num_rows);
    norm(weights.attention_norm, hidden, x);
  }
  const auto project = [&](const LinearWeights& linear, BufferId to) {
    const TensorView out = workspace.rows(to, num_rows);
    p_.backend.matmul(p_.compute, {x, linear.weight, linear.bias, Activation::kNone, {}, out});
    return out;
  };
  const TensorView queries = project(weights.query, BufferId::kQueries);
  const TensorView keys = project(weights.key, BufferId::kKeys);
  const TensorView values = project(weights.value, BufferId::kValues);
  const std::vector<SequenceRows> sequences = clip(rows_.sequences, first_row, num_rows);
  const TensorView& pages = workspace.view(BufferId::kKeyValuePages);
  const KeyValuePages store = {{config.num_kv_heads, config.head_dim}, pages.data, pages.shape[0]};
  p_.backend.store_key_values(p_.compute, {keys, values, sequences, rows_.page_table, store});
  const TensorView attended = workspace.rows(BufferId::kAttention, num_rows);
  p_.backend.attention(p_.compute, {queries, config.num_heads, config.attention_scale, sequences,
                                    rows_.page_table, store, attended});
  p_.backend.matmul(p_.compute, {attended, weights.attention_output.weight,
                                 weights.attention_output.bias, Activation::kNone, hidden, hidden});
  if (config.norm_placement == NormPlacement::kPost) {
    norm(weights.attention_norm, hidden, hidden);
  }
}

void Transformer::feed_forward(int layer, int64_t step) {
  const LayerWeights& weights = p_.weights.layers()[static_cast<size_t>(layer)];
  const bool is_moe = p_.config.layers[static_cast<size_t>(layer)] == FfnKind::kMoe;
  const bool is_pre_norm = p_.config.norm_placement == NormPlacement::kPre;
  p_.clock.begin(is_moe ? Phase::kGate : Phase::kDense);
  const TensorView hidden = p_.workspace.rows(BufferId::kHidden, rows_.count());
  const TensorView normed =
      is_pre_norm ? p_.workspace.rows(BufferId::kNormed, rows_.count()) : hidden;
  if (is_pre_norm && rows_.count() > 0) norm(weights.ffn_norm, hidden, normed);
  if (is_moe) {
    const auto kinds = p_.config.layers.begin();
    const int moe_layer = static_cast<int>(std::count(kinds, kinds + layer, FfnKind::kMoe));
    p_.moe->run(
        {layer, moe_layer, step, weights.gate, rows_.origins, rows_.router_mask, rows_.capacity},
        normed, hidden);
  } else if (rows_.count() > 0) {
    dense_ffn(weights);
  }
  if (!is_pre_norm && rows_.count() > 0) norm(weights.ffn_norm, hidden, hidden);
}

void Transformer::dense_ffn(const LayerWeights& layer) {
  const bool is_pre_norm = p_.config.norm_placement == NormPlacement::kPre;
  const TensorView& source = p_.workspace.view(is_pre_norm ? BufferId::kNormed : BufferId::kHidden);
  for (int64_t row = 0; row < rows_.count(); row += kAttentionBlockRows) {
    const int64_t count = std::min(kAttentionBlockRows, rows_.count() - row);
    const TensorView inner = p_.workspace.rows(BufferId::kFfnHidden, count);
    const TensorView hidden = p_.workspace.view(BufferId::kHidden).rows(row, count);
    p_.backend.matmul(p_.compute, {source.rows(row, count),
                                   layer.ffn_up.weight,
                                   layer.ffn_up.bias,
                                   p_.config.activation,
                                   {},
                                   inner});
    p_.backend.matmul(p_.compute, {inner, layer.ffn_down.weight, layer.ffn_down.bias,
                                   Activation::kNone, hidden, hidden});
  }
}

void Transformer::log_probs(int64_t top_logprobs) {
  const int64_t count = rows_.num_targets();
  if (count == 0) return;
  p_.backend.copy_to_device(p_.compute, rows_.targets.data(),
                            p_.workspace.rows(BufferId::kTargets, count));
  p_.backend.copy_to_device(p_.compute, rows_.target_rows.data(),
                            p_.workspace.rows(BufferId::kLogitIndex, count));
  const int64_t chunk = p_.workspace.view(BufferId::kLogits).shape[0];
  for (int64_t first = 0; first < count; first += chunk) {
    log_prob_chunk(first, std::min(chunk, count - first), top_logprobs);
  }
}

void Transformer::log_prob_chunk(int64_t first, int64_t count, int64_t top_logprobs) {
  const Workspace& workspace = p_.workspace;
  const TensorView rows = workspace.rows(BufferId::kLogitRows, count);
  const auto part = [&](BufferId id) { return workspace.view(id).rows(first, count); };
  p_.backend.gather_rows(p_.compute, {workspace.rows(BufferId::kHidden, rows_.count()),
                                      part(BufferId::kLogitIndex), rows});
  if (p_.config.final_norm == FinalNorm::kApplied) norm(p_.weights.final_norm(), rows, rows);
  const TensorView logits = workspace.rows(BufferId::kLogits, count);
  p_.backend.matmul(p_.compute, {rows, p_.weights.output(), {}, Activation::kNone, {}, logits});
  const int64_t chunk = workspace.view(BufferId::kLogits).shape[0];
  check_finite(logits, p_.config.num_layers() + 1 + first / chunk);
  LogProbsArgs args = {
      logits, part(BufferId::kTargets), part(BufferId::kLogProbs), part(BufferId::kGreedy), {}, {}};
  if (top_logprobs > 0) {
    args.top_ids = part(BufferId::kTopIds);
    args.top_logprobs = part(BufferId::kTopLogProbs);
  }
  p_.backend.log_probs(p_.compute, args);
}

Transformer::Results Transformer::fetch(int64_t top_logprobs) {
  Results results;
  const int64_t count = rows_.num_targets();
  const auto copy = [&](BufferId id, int64_t rows, int64_t cols, auto& to) {
    to.resize(static_cast<size_t>(rows * cols));
    if (rows > 0) p_.backend.copy_to_host(p_.compute, p_.workspace.rows(id, rows), to.data());
  };
  copy(BufferId::kLogProbs, count, 1, results.logprobs);
  copy(BufferId::kGreedy, count, 1, results.greedy);
  if (top_logprobs > 0) {
    copy(BufferId::kTopIds, count, top_logprobs, results.top_ids);
    copy(BufferId::kTopLogProbs, count, top_logprobs, results.top_logprobs);
  }
  if (count > 0) {
    const int64_t chunk = p_.workspace.view(BufferId::kLogits).shape[0];
    const int64_t checks = p_.config.num_layers() + 1 + (count + chunk - 1) / chunk;
    copy(BufferId::kNonFinite, checks, 1, results.non_finite);
  }
  p_.backend.record(p_.compute).synchronize();
  return results;
}

void Transformer::require_finite(const Results& results) const {
  const int64_t chunk = p_.workspace.view(BufferId::kLogits).shape[0];
  const int num_layers = p_.config.num_layers();
  int64_t target = -1;
  for (size_t i = static_cast<size_t>(num_layers) + 1; i < results.non_finite.size(); ++i) {
    if (results.non_finite[i] < 0) continue;
    target = static_cast<int64_t>(i - static_cast<size_t>(num_layers) - 1) * chunk +
             results.non_finite[i];
    break;
  }
  for (size_t i = 0; i < results.logprobs.size() && target < 0; ++i) {
    if (!std::isfinite(results.logprobs[i])) target = static_cast<int64_t>(i);
  }
  if (target < 0) return;
  const RowOrigin& origin =
      rows_.origins[static_cast<size_t>(rows_.target_rows[static_cast<size_t>(target)])];
  std::string where = "the logits";
  for (int i = num_layers; i >= 0; --i) {
    if (results.non_finite[static_cast<size_t>(i)] < 0) continue;
    where = i == 0 ? "the embedding" : concat("layer ", i - 1);
  }
  throw NonFiniteError(origin.sequence, origin.position, where);
}

}  // namespace switchyard
