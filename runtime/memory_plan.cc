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
  std::vector<ExpertLayer> layers;
  for (const int layer : config.moe_layers()) {
    const std::string name = tensor_name(config.names.expert_up, layer, 0) + ".weight";
    const DType dtype = kept_type(config, checkpoint.index.at(name).dtype, name);
    const ExpertShape shape = {{dtype, config.expert_ffn_size, config.hidden_size},
                               {dtype, config.hidden_size, config.expert_ffn_size}};
    layers.push_back({shape, placements[layers.size()].num_local_experts(rank)});
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
