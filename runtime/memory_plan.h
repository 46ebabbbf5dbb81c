// What a run will need, told before anything is allocated.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/expert_placement.h"
#include "runtime/cache_sizes.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/model_weights.h"
#include "runtime/workspace.h"

namespace switchyard {

/// Bytes of one rank by category.
struct MemoryPlan {
  std::array<int64_t, 6> bytes{};  // by MemoryCategory

  int64_t& operator[](MemoryCategory category) { return bytes[static_cast<size_t>(category)]; }
  int64_t of(MemoryCategory category) const { return bytes[static_cast<size_t>(category)]; }
  int64_t total() const;
  /// "dense weights 3.1 MiB, experts ...; in all ...".
  std::string text() const;
};

/// The layers of this rank's expert cache, in the order of the MoE layers.
std::vector<ExpertLayer> expert_layers(const Checkpoint& checkpoint,
                                       const std::vector<LayerPlacement>& placements, int rank);

/// What this rank will allocate: the same tables the allocations are made from.
struct MemoryTables {
  std::vector<DenseSpec> dense;
  std::vector<ExpertLayer> experts;
  std::vector<BufferSpec> workspace;
  CacheSizes cache;
  int64_t padding_bytes = 0;  // of PaddedExchange's tables
};
/// With all experts resident.
MemoryTables memory_tables(const Checkpoint& checkpoint,
                           const std::vector<LayerPlacement>& placements, int rank,
                           const WorkspaceLimits& limits, const Backend& backend);
/// The largest calls of a step: every dense matrix with all rows, the output with those whose
/// logits stand together.
WorkSizes work_sizes(const ModelConfig& config, const MemoryTables& tables,
                     const WorkspaceLimits& limits);
MemoryPlan plan_memory(const ModelConfig& config, const MemoryTables& tables,
                       const WorkspaceLimits& limits, const Backend& backend);

}  // namespace switchyard
