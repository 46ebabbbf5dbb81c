#include "runtime/workspace.h"

#include <algorithm>

namespace switchyard {

std::string_view name_of(MemoryCategory category) {
  switch (category) {
    case MemoryCategory::kDense:
      return "dense weights";
    case MemoryCategory::kExperts:
      return "experts";
    case MemoryCategory::kActivations:
      return "activations";
    case MemoryCategory::kExchange:
      return "exchange buffers";
    case MemoryCategory::kLogProbs:
      return "log-probs";
    case MemoryCategory::kHost:
      return "host staging";
  }
  return "?";
}

int64_t logit_chunk_rows(const ModelConfig& config) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  return std::clamp(kBytes / (config.vocab_size * int64_t{sizeof(float)}), int64_t{1},
                    int64_t{256});
}

std::vector<BufferSpec> workspace_table(const ModelConfig& config, const WorkspaceLimits& limits,
                                        const Backend& backend) {
  using Id = BufferId;
  using Category = MemoryCategory;
  using enum DType;
  const int64_t rows = limits.max_rows;
  const int64_t block = std::min(rows, kAttentionBlockRows);
  const int64_t width = config.hidden_size;
  const int64_t kv_width = config.num_kv_heads * config.head_dim;
  const int64_t chunk = std::min(rows, logit_chunk_rows(config));
  const int64_t page_bytes = backend.key_value_page_bytes({config.num_kv_heads, config.head_dim});
  const int64_t checks = config.num_layers() + 1 + (rows + chunk - 1) / chunk;
  std::vector<BufferSpec> table = {
      {Id::kIds, Category::kActivations, kI32, {rows}},
      {Id::kPositions, Category::kActivations, kI32, {rows}},
      {Id::kTargets, Category::kActivations, kI32, {rows}},
      {Id::kHidden, Category::kActivations, kF32, {rows, width}},
      {Id::kNormed, Category::kActivations, kF32, {rows, width}},
      {Id::kQueries, Category::kActivations, kF32, {block, width}},
      {Id::kKeys, Category::kActivations, kF32, {block, kv_width}},
      {Id::kValues, Category::kActivations, kF32, {block, kv_width}},
      {Id::kAttention, Category::kActivations, kF32, {block, width}},
      {Id::kKeyValuePages, Category::kActivations, kU8, {limits.max_pages, page_bytes}},
      {Id::kLogitIndex, Category::kLogProbs, kI32, {rows}},
      {Id::kLogitRows, Category::kLogProbs, kF32, {chunk, width}},
      {Id::kLogits, Category::kLogProbs, kF32, {chunk, config.vocab_size}},
      {Id::kLogProbs, Category::kLogProbs, kF32, {rows}},
      {Id::kGreedy, Category::kLogProbs, kI32, {rows}},
      {Id::kNonFinite, Category::kActivations, kI32, {checks}},
  };
  if (limits.top_logprobs > 0) {
    table.push_back({Id::kTopIds, Category::kLogProbs, kI32, {rows, limits.top_logprobs}});
    table.push_back({Id::kTopLogProbs, Category::kLogProbs, kF32, {rows, limits.top_logprobs}});
  }
  if (config.num_moe_layers() < config.num_layers()) {
    table.push_back({Id::kFfnHidden, Category::kActivations, kF32, {block, config.ffn_size}});
  }
  if (config.num_moe_layers() > 0) {
    const int64_t top_k = config.router.top_k;
    const int64_t round = limits.exchange_rows;
    table.push_back(
        {Id::kGateLogits, Category::kActivations, kF32, {block, config.router.num_experts}});
    table.push_back({Id::kTopkIdx, Category::kActivations, kI32, {rows, top_k}});
    table.push_back({Id::kTopkWeights, Category::kActivations, kF32, {rows, top_k}});
    if (limits.capacity == ExpertCapacity::kLimited) {
      table.push_back({Id::kSlots, Category::kActivations, kI32, {rows, top_k}});
      table.push_back({Id::kRouterMask, Category::kActivations, kI32, {rows}});
    }
    table.push_back({Id::kExpertRows, Category::kActivations, kF32, {rows * top_k, width}});
    table.push_back({Id::kGroupedIn, Category::kExchange, kF32, {round, width}});
    table.push_back({Id::kGroupedOut, Category::kExchange, kF32, {round, width}});
    table.push_back(
        {Id::kGroupedHidden, Category::kExchange, kF32, {round, config.expert_ffn_size}});
  }
  return table;
}

Workspace::Workspace(const std::vector<BufferSpec>& table, Backend& backend)
    : buffers_(static_cast<size_t>(BufferId::kCount)) {
  for (const BufferSpec& spec : table) {
    buffers_[static_cast<size_t>(spec.id)] = backend.allocate_tensor(spec.dtype, spec.shape);
  }
}

}  // namespace switchyard
