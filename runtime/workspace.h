// The buffers of a rank's steps: one table, from which both the memory plan and the allocation
// come.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/exchange_choice.h"
#include "runtime/model_config.h"

namespace switchyard {

/// What each buffer is for. Letters as in kernels/ops.h; B rows of an attention block, R rows of an
/// exchange round, C rows of a log-prob chunk, n --top-logprobs.
enum class BufferId : uint8_t {
  kIds,              // [T] int32
  kPositions,        // [T] int32
  kTargets,          // [T] int32
  kHidden,           // [T, D] the residual stream
  kNormed,           // [T, D] what enters attention or the feed-forward
  kRopeSets,         // [T] int32 which frequencies a row rotates with
  kRopeFrequencies,  // [S, h] S sets of frequencies
  kRopeScales,       // [S]
  kRopeTable,        // [T, 2 h] cos and sin
  kQueries,          // [B, H d]
  kQueryLatent,      // [B, query_rank]
  kLatent,           // [B, rank + rope_dim]
  kKeys,             // [B, G d]
  kValues,           // [B, G v]
  kAbsorbedQueries,  // [B, H (rank + rope_dim)]
  kAttention,        // [B, H v], in latent attention's absorbed form [B, H rank]
  kHeadOutputs,      // [B, H v] of the absorbed form
  kKeyValuePages,    // of the running layer, or of all layers from step to step
  kDecodePositions,  // [B] int32 of each row's sequence, in steps that are recorded
  kDecodePages,      // [cache groups, entries] int32 of their page tables
  kFfnHidden,        // [B, rows of the largest dense or shared `up`]
  kFfnGated,         // [B, F] of gated feed-forwards
  kShared,           // [B, D] what the shared expert gave
  kSharedGate,       // [B, 1]
  kGateInner,        // [B, E]
  kGateLogits,       // [B, E]
  kTopkIdx,          // [T, k] int32
  kTopkWeights,      // [T, k]
  kSlots,            // [T, k] int32, with an expert capacity
  kRouterMask,       // [T] int32, with an expert capacity
  kForecastRows,     // [P, D] what the next layer's gate is applied to ahead of time
  kForecastIdx,      // [P, k] int32
  kForecastWeights,  // [P, k]
  kExpertRows,       // [T k, D] what the experts gave for each (token, k)
  kGroupedIn,        // [R, D] a round's rows by expert
  kGroupedOut,       // [R, D]
  kGroupedHidden,    // [R, rows of the largest expert's `up`]
  kLogitIndex,       // [T] int32 rows that want log-probs
  kLogitRows,        // [C, D]
  kLogits,           // [C, V]
  kLogProbs,         // [T]
  kGreedy,           // [T] int32
  kTopIds,           // [T, n] int32
  kTopLogProbs,      // [T, n]
  kNonFinite,        // int32: first non-finite row after the embedding, each layer, each chunk
  kCount
};

/// What a buffer counts as in the memory plan.
enum class MemoryCategory : uint8_t { kDense, kExperts, kActivations, kExchange, kLogProbs, kHost };

std::string_view name_of(MemoryCategory category);

/// Whether experts may refuse rows.
enum class ExpertCapacity : uint8_t { kUnlimited, kLimited };

/// What bounds a rank's steps.
struct WorkspaceLimits {
  int64_t max_rows = 0;                           // T
  int64_t max_pages = 0;                          // key/value pages
  int64_t exchange_rows = 0;                      // R
  ExchangeKind exchange = ExchangeKind::kDirect;  // decides what a row of R costs
  ExchangeLayout layout = ExchangeLayout::kAuto;  // decides what tables stand beside them
  int64_t top_logprobs = 0;                       // n
  ExpertCapacity capacity = ExpertCapacity::kUnlimited;
  int64_t forecast_rows = 0;  // P: rows whose experts of the next layer are predicted, at most
  /// Pages that each layer keeps from step to step, by cache group (cache_groups.h). Empty: steps
  /// keep nothing, and the layers of a step take turns on max_pages.
  std::vector<int64_t> cache_pages;
  bool has_graphs = false;  // decode steps are recorded; with cache_pages only
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
  /// Its memory as a tensor of another shape that is not larger.
  TensorView shaped(BufferId id, Shape shape) const;

 private:
  std::vector<Tensor> buffers_;
};

}  // namespace switchyard
