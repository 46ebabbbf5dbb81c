// What ranks would hold of a model.
#include <utility>

#include "kernels/base/error.h"
#include "runtime/batch_choice.h"
#include "runtime/inspect_parts.h"
#include "runtime/memory_plan.h"
#include "runtime/placement_file.h"
#include "runtime/run_options.h"
#include "runtime/runtime_settings.h"

namespace switchyard {
namespace {

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

ReportSection rank_section(const Checkpoint& checkpoint, int num_ranks, const Backend& backend) {
  const RunOptions defaults;
  RuntimeSettings settings;
  settings.max_batch_tokens = kDefaultBatchTokens;
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
