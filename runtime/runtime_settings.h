// What a run asks of a rank, and the buffers that follow from it.
#pragma once

#include <cstdint>
#include <optional>

#include "parallel/exchange_choice.h"
#include "runtime/model_config.h"
#include "runtime/placement_file.h"
#include "runtime/progress.h"
#include "runtime/run_options.h"
#include "runtime/step_observer.h"
#include "runtime/trace.h"
#include "runtime/workspace.h"

namespace switchyard {

/// Whether a step may have more rows than was said, where that hides loading behind computing.
enum class BatchTokens : uint8_t { kGiven, kMayGrow };

/// What bounds the steps of a run.
struct RuntimeSettings {
  int64_t max_batch_tokens = 0;  ///< rows of one rank in one step
  BatchTokens batch_tokens = BatchTokens::kGiven;
  /// Rows and key/value pages of the largest unit that may come, and rows of all that will come
  /// (-1: not known).
  int64_t largest_unit_rows = 0;
  int64_t largest_unit_pages = 0;
  int64_t total_rows = -1;
  std::vector<int64_t> cache_pages = {};           ///< WorkspaceLimits::cache_pages
  std::vector<int64_t> sequence_cache_pages = {};  ///< of these, for the longest sequence
  int64_t exchange_buffer_bytes = 0;               ///< of each rank
  ExchangeRequest exchange = {};
  bool has_graphs = false;  ///< decode steps are recorded, where cache_pages are given
  int64_t top_logprobs = 0;
  PlacementText placement;
  TierOptions tiers;
  /// Uses of every expert in an earlier run, by MoE layer and global number, for
  /// CachePolicy::kStatic; else empty.
  std::vector<std::vector<int64_t>> expert_uses = {};
  /// Slots of an expert per position of a capacity batch (CapacityShape::fraction); none: no unit
  /// has a capacity.
  std::optional<double> capacity_fraction = std::nullopt;
  /// Ranks of a node that read files at the same time; 0: all.
  int64_t load_readers_per_node = 0;
  StepObserver* observer = nullptr;
  Trace* trace = nullptr;  ///< where this rank writes what happens when
  /// Shown how far this rank's loading is; on rank 0 only.
  ProgressSink* progress = nullptr;
};

/// Rows and pages that `settings` give a rank's buffers on `num_ranks` ranks. Throws Error(kUsage)
/// with the smallest exchange buffer that works when a row does not fit into the given one.
WorkspaceLimits workspace_limits(const ModelConfig& config, const RuntimeSettings& settings,
                                 int num_ranks);

/// Whether a run records its decode steps on this backend.
bool records_steps(DecodeGraphs choice, const Backend& backend);

}  // namespace switchyard
