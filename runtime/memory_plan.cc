#include "runtime/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/base/byte_size.h"
#include "parallel/exchange_choice.h"
#include "runtime/expert_reader.h"
#include "runtime/weight_loader.h"

namespace switchyard {
int64_t MemoryPlan::total() const {
  return std::accumulate(bytes.begin(), bytes.end(), int64_t{0});
}

std::string MemoryPlan::text() const {
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == 0) continue;
    text += concat(name_of(static_cast<MemoryCategory>(i)), " ", format_byte_size(bytes[i]), ", ");
  }
  return text + concat("in all ", format_byte_size(total()));
}

std::vector<ExpertLayer> expert_layers(const Checkpoint& checkpoint,
                                       const std::vector<LayerPlacement>& placements, int rank) {
  std::vector<ExpertLayer> layers;
  for (size_t moe_layer = 0; moe_layer < placements.size(); ++moe_layer) {
    const LayerPlacement& placement = placements[moe_layer];
    ExpertLayer& mine = layers.emplace_back();
    for (int64_t slot = 0; slot < placement.num_local_experts(rank); ++slot) {
      mine.ids.push_back(placement.expert_of(placement.first_instance(rank) + slot));
      mine.experts.push_back(
          expert_shape(checkpoint, {static_cast<int>(moe_layer), mine.ids.back()}));
    }
  }
  return layers;
}

MemoryTables memory_tables(const Checkpoint& checkpoint,
                           const std::vector<LayerPlacement>& placements, int rank,
                           const WorkspaceLimits& limits, const Backend& backend) {
  MemoryTables tables{dense_table(checkpoint.config, checkpoint.index, backend),
                      expert_layers(checkpoint, placements, rank),
                      workspace_table(checkpoint.config, limits, backend),
                      {},
                      PaddedExchange::table_bytes(placements, rank)};
  tables.cache =
      plan_cache(tables.experts, TierOptions(), std::numeric_limits<int64_t>::max(), backend);
  return tables;
}

WorkSizes work_sizes(const ModelConfig& config, const MemoryTables& tables,
                     const WorkspaceLimits& limits) {
  WorkSizes sizes;
  for (const DenseSpec& spec : tables.dense) {
    if (spec.form == TensorForm::kVector) continue;
    int64_t rows = limits.max_rows;
    if (spec.heads > 1) rows = std::min(rows, kAttentionBlockRows);
    if (spec.name.starts_with(config.names.output)) rows = logit_chunk_rows(config);
    sizes.products.push_back({spec.weight_spec(), rows, spec.heads});
  }
  for (const ExpertLayer& layer : tables.experts) {
    if (layer.experts.empty()) continue;
    const ExpertShape& shape =
        *std::max_element(layer.experts.begin(), layer.experts.end(),
                          [](const auto& a, const auto& b) { return a.up.rows < b.up.rows; });
    sizes.experts.push_back(
        {shape.up, shape.down, config.ffn_form, limits.exchange_rows, layer.num_local_experts()});
  }
  sizes.routed_rows = limits.max_rows;
  sizes.router = config.router;
  sizes.logit_rows = logit_chunk_rows(config);
  sizes.vocabulary = config.vocab_size;
  return sizes;
}

MemoryPlan plan_memory(const ModelConfig& config, const MemoryTables& tables,
                       const WorkspaceLimits& limits, const Backend& backend) {
  MemoryPlan plan;
  plan[MemoryCategory::kDense] = dense_bytes(config, tables.dense);
  plan[MemoryCategory::kExperts] = tables.cache.device_bytes;
  for (const BufferSpec& buffer : tables.workspace) plan[buffer.category] += buffer.bytes();
  if (!tables.experts.empty()) {
    plan[MemoryCategory::kExchange] +=
        limits.exchange_rows * exchange_bytes_per_row(limits.exchange, config.hidden_size);
    if (limits.layout != ExchangeLayout::kExact) {
      plan[MemoryCategory::kExchange] += tables.padding_bytes;
    }
  }
  plan[MemoryCategory::kActivations] += backend.scratch_bytes(work_sizes(config, tables, limits));
  plan[MemoryCategory::kHost] = loader_staging_bytes(tables.dense) + tables.cache.host_bytes();
  return plan;
}

}  // namespace switchyard
