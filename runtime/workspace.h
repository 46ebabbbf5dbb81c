// The buffers of a rank's steps: one table, from which both the memory plan and the allocation
// come.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/model_config.h"

namespace switchyard {

/// What each buffer is for. Letters as in kernels/ops.h; B rows of an attention block, R rows of an
/// exchange round, C rows of a log-prob chunk, n --top-logprobs.
enum class BufferId : uint8_t {
  kIds,            // [T] int32
  kPositions,      // [T] int32
  kTargets,        // [T] int32
  kHidden,         // [T, D] the residual stream
  kNormed,         // [T, D] what enters attention or the feed-forward
  kQueries,        // [B, D]
  kKeys,           // [B, G d]
  kValues,         // [B, G d]
  kAttention,      // [B, D]
  kKeyValuePages,  // of the running layer
  kFfnHidden,      // [B, F]
  kGateLogits,     // [B, E]
  kTopkIdx,        // [T, k] int32
  kTopkWeights,    // [T, k]
  kSlots,          // [T, k] int32, with an expert capacity
  kRouterMask,     // [T] int32, with an expert capacity
  kExpertRows,     // [T k, D] what the experts gave for each (token, k)
  kGroupedIn,      // [R, D] a round's rows by expert
  kGroupedOut,     // [R, D]
  kGroupedHidden,  // [R, F]
  kLogitIndex,     // [T] int32 rows that want log-probs
  kLogitRows,      // [C, D]
  kLogits,         // [C, V]
  kLogProbs,       // [T]
  kGreedy,         // [T] int32
  kTopIds,         // [T, n] int32
  kTopLogProbs,    // [T, n]
  kNonFinite,      // int32: first non-finite row after the embedding, each layer, each chunk
  kCount
};

/// What a buffer counts as in the memory plan.
enum class MemoryCategory : uint8_t { kDense, kExperts, kActivations, kExchange, kLogProbs, kHost };

std::string_view name_of(MemoryCategory category);

/// Whether experts may refuse rows.
enum class ExpertCapacity : uint8_t { kUnlimited, kLimited };

/// What bounds a rank's steps.
struct WorkspaceLimits {
  int64_t max_rows = 0;       // T
  int64_t max_pages = 0;      // key/value pages
  int64_t exchange_rows = 0;  // R
  int64_t top_logprobs = 0;   // n
  ExpertCapacity capacity = ExpertCapacity::kUnlimited;
};

struct BufferSpec {
  BufferId id;
  MemoryCategory category;
  DType dtype;
  Shape shape;

  int64_t bytes() const { return shape.num_elements() * size_of(dtype); }
};

/// Rows that pass through attention together: enough to keep the matmuls at their peak, few enough
/// that their q, k, v stay small against the step.
inline constexpr int64_t kAttentionBlockRows = 1024;

/// Rows whose logits stand in memory together: as many as fit 64 MiB, at most 256 (from 64 rows up
/// the matmul runs at its peak).
int64_t logit_chunk_rows(const ModelConfig& config);

/// The table for a model: one entry per BufferId that the model needs.
std::vector<BufferSpec> workspace_table(const ModelConfig& config, const WorkspaceLimits& limits,
                                        const Backend& backend);

/// The allocated buffers.
class Workspace {
 public:
  Workspace(const std::vector<BufferSpec>& table, Backend& backend);

  /// The whole buffer; empty if the model does not need it.
  const TensorView& view(BufferId id) const { return buffers_[static_cast<size_t>(id)].view(); }
  /// Its first `count` rows.
  TensorView rows(BufferId id, int64_t count) const { return view(id).rows(0, count); }

 private:
  std::vector<Tensor> buffers_;
};

}  // namespace switchyard
