// The model's settings and what ranks would hold of it.
#include <utility>

#include "kernels/base/error.h"
#include "runtime/inspect_parts.h"
#include "runtime/memory_plan.h"
#include "runtime/placement_file.h"
#include "runtime/run_options.h"
#include "runtime/runtime_settings.h"

namespace switchyard {
namespace {

const char* words_for(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return "none";
    case Activation::kRelu:
      return "relu";
    case Activation::kGelu:
      return "gelu (exact)";
    case Activation::kGeluTanh:
      return "gelu (tanh form)";
    case Activation::kSilu:
      return "silu";
    case Activation::kTanh:
      return "tanh";
  }
  return "";
}

void add_sizes(const ModelConfig& config, ReportSection& section) {
  section.add_fact("family", config.family);
  section.add_fact("layers", int64_t{config.num_layers()});
  section.add_fact("hidden_size", config.hidden_size);
  section.add_fact("heads", config.num_heads);
  section.add_fact("key_value_heads", config.num_kv_heads);
  section.add_fact("head_size", config.head_dim);
  section.add_fact("feed_forward_size", config.ffn_size);
  section.add_fact("vocabulary", config.vocab_size);
}

void add_experts(const ModelConfig& config, ReportSection& section) {
  if (config.num_moe_layers() == 0) {
    section.add_fact("experts", int64_t{0});
    return;
  }
  const std::vector<int> numbers = config.moe_layers();
  section.add_fact("layers_with_experts", std::vector<int64_t>(numbers.begin(), numbers.end()));
  section.add_fact("experts", config.router.num_experts);
  section.add_fact("experts_per_token", config.router.top_k);
  section.add_fact("expert_feed_forward_size", config.expert_ffn_size);
  section.add_fact("router_weights", config.router.norm == GateNorm::kChosen
                                         ? "divided by the sum of those chosen"
                                         : "the probabilities");
  const CapacityRules& capacity = config.capacity;
  section.add_fact("capacity_fraction",
                   ReportValue(capacity.eval_fraction, concat(capacity.eval_fraction)));
  section.add_fact("capacity_weights", capacity.norm_order == NormOrder::kAfterDropping
                                           ? "normalised after dropping"
                                           : "normalised before dropping");
  section.add_fact("capacity_order", capacity.slot_order == SlotOrder::kRows
                                         ? "in the order of the rows"
                                         : "by descending probability");
  section.add_fact("capacity_padding",
                   capacity.pads == PadRouting::kRouted ? "takes slots" : "is not routed");
}

void add_positions_and_norms(const ModelConfig& config, ReportSection& section) {
  section.add_fact("positions", config.trained_positions);
  section.add_fact("position_embedding",
                   config.position_kind == PositionKind::kLearned ? "learned" : "sinusoidal");
  section.add_fact("first_position_row", config.position_offset);
  section.add_fact("embedding_scale", float_value(config.embedding_scale));
  section.add_fact("norms", config.norm_placement == NormPlacement::kPre
                                ? "before attention and feed-forward"
                                : "after attention and feed-forward");
  section.add_fact("final_norm", config.final_norm == FinalNorm::kApplied ? "yes" : "no");
  section.add_fact("norm_epsilon", float_value(config.norm_eps));
  section.add_fact("activation", words_for(config.ffn_form.activation));
  section.add_fact("attention_scale", float_value(config.attention_scale));
}

void add_rest(const ModelConfig& config, ReportSection& section) {
  section.add_fact("output_matrix",
                   config.names.output == config.names.embedding ? "the embedding" : "its own");
  section.add_fact("start_token", int64_t{config.start_token});
  section.add_fact("end_token", int64_t{config.eos_token()});
  section.add_fact("pad_token", int64_t{config.pad_token});
  section.add_fact("weights_are_kept_as", weight_type_text(config));
}

/// One rank's row without its number.
std::vector<ReportValue> rank_row(const MemoryTables& tables, const MemoryPlan& plan) {
  int64_t experts = 0;
  for (const ExpertLayer& layer : tables.experts) experts += layer.num_local_experts();
  std::vector<ReportValue> row = {experts};
  for (const int64_t bytes : plan.bytes) row.push_back(byte_value(bytes));
  row.push_back(byte_value(plan.total()));
  return row;
}

/// Experts of each MoE layer on a rank: ranks with equal ones hold as many bytes.
std::vector<int64_t> expert_counts(const std::vector<LayerPlacement>& placements, int rank) {
  std::vector<int64_t> counts;
  for (const LayerPlacement& placement : placements) {
    counts.push_back(placement.num_local_experts(rank));
  }
  return counts;
}

}  // namespace

ReportSection architecture_section(const ModelConfig& config) {
  ReportSection section = make_facts("architecture", "");
  add_sizes(config, section);
  add_experts(config, section);
  add_positions_and_norms(config, section);
  add_rest(config, section);
  return section;
}

ReportSection rank_section(const Checkpoint& checkpoint, int num_ranks, const Backend& backend) {
  const RunOptions defaults;
  RuntimeSettings settings;
  settings.max_batch_tokens = defaults.max_batch_tokens;
  settings.largest_unit_rows = checkpoint.config.trained_positions;
  settings.largest_unit_pages = pages_of(checkpoint.config.trained_positions);
  settings.exchange_buffer_bytes = defaults.exchange_buffer_bytes;
  const WorkspaceLimits limits = workspace_limits(checkpoint.config, settings, num_ranks);
  const std::vector<LayerPlacement> placements =
      make_placements(settings.placement, checkpoint.config, num_ranks);
  ReportSection section = {
      "ranks",
      concat("what each of ", num_ranks, " ranks would hold with the default options"),
      ReportSection::Form::kRows,
      {"ranks", "experts_held"},
      {}};
  for (size_t i = 0; i < MemoryPlan().bytes.size(); ++i) {
    section.columns.emplace_back(name_of(static_cast<MemoryCategory>(i)));
    for (char& letter : section.columns.back()) {
      if (letter == ' ' || letter == '-') letter = '_';
    }
  }
  section.columns.emplace_back("total");
  for (int first = 0, last = 0; first < num_ranks; first = last + 1) {
    const std::vector<int64_t> counts = expert_counts(placements, first);
    last = first;
    while (last + 1 < num_ranks && expert_counts(placements, last + 1) == counts) ++last;
    const MemoryTables tables = memory_tables(checkpoint, placements, first, limits, backend);
    std::vector<ReportValue> row =
        rank_row(tables, plan_memory(checkpoint.config, tables, limits, backend));
    row.insert(row.begin(), first == last ? std::to_string(first) : concat(first, "-", last));
    section.rows.push_back(std::move(row));
  }
  return section;
}

}  // namespace switchyard
