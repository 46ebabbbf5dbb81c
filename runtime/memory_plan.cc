#include "runtime/memory_plan.h"

#include <numeric>

#include "kernels/base/byte_size.h"
#include "parallel/token_dispatcher.h"
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
  const ModelConfig& config = checkpoint.config;
  const auto kept = [&](const std::string& name) {
    return kept_type(config, checkpoint.index.at(name + ".weight").dtype, name);
  };
  std::vector<ExpertLayer> layers;
  for (const int layer : config.moe_layers()) {
    const auto moe_layer = static_cast<int>(layers.size());
    const LayerPlacement& placement = placements[layers.size()];
    ExpertLayer& mine = layers.emplace_back();
    for (int64_t slot = 0; slot < placement.num_local_experts(rank); ++slot) {
      const int64_t expert = placement.expert_of(placement.first_instance(rank) + slot);
      const int64_t size = config.expert_size(moe_layer, expert);
      const DType up = kept(tensor_name(config.names.expert_up, layer, expert));
      const DType down = kept(tensor_name(config.names.expert_down, layer, expert));
      mine.experts.push_back({{up, size * config.ffn_form.rows_per_unit(), config.hidden_size},
                              {down, config.hidden_size, size},
                              config.expert_bias});
    }
  }
  return layers;
}

MemoryTables memory_tables(const Checkpoint& checkpoint,
                           const std::vector<LayerPlacement>& placements, int rank,
                           const WorkspaceLimits& limits, const Backend& backend) {
  return {dense_table(checkpoint.config, checkpoint.index, backend),
          expert_layers(checkpoint, placements, rank),
          workspace_table(checkpoint.config, limits, backend)};
}

MemoryPlan plan_memory(const ModelConfig& config, const MemoryTables& tables,
                       const WorkspaceLimits& limits, const Backend& backend) {
  MemoryPlan plan;
  plan[MemoryCategory::kDense] = dense_bytes(config, tables.dense);
  plan[MemoryCategory::kExperts] = ExpertCache::total_bytes(tables.experts, backend);
  for (const BufferSpec& buffer : tables.workspace) plan[buffer.category] += buffer.bytes();
  if (!tables.experts.empty()) {
    plan[MemoryCategory::kExchange] +=
        limits.exchange_rows * TokenDispatcher::bytes_per_row(config.hidden_size);
  }
  plan[MemoryCategory::kActivations] += backend.scratch_bytes();
  plan[MemoryCategory::kHost] = loader_staging_bytes(tables.dense, tables.experts);
  return plan;
}

}  // namespace switchyard
