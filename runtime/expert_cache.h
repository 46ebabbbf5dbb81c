// This rank's experts: as many as fit in the fast tier, the others on their way when needed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "runtime/cache_sizes.h"
#include "runtime/cache_stats.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/expert_loader.h"
#include "runtime/expert_slot.h"
#include "runtime/host_tier.h"
#include "runtime/prefetch_judge.h"
#include "runtime/progress.h"
#include "runtime/run_options.h"
#include "runtime/slot_table.h"
#include "runtime/trace.h"

namespace switchyard {

/// What a cache works with. All references must outlive it.
struct ExpertCacheParts {
  const Checkpoint& checkpoint;
  std::vector<ExpertLayer> layers;  // of this rank, by MoE layer
  CacheSizes sizes;
  TierOptions options;
  /// By MoE layer and local number, for CachePolicy::kStatic; else empty.
  std::vector<std::vector<int64_t>> earlier_uses;
  TensorSources& sources;
  Backend& backend;
  Stream& compute;
  FileCaching caching = FileCaching::kPageCache;
  Trace* trace = nullptr;
};

/// What a MoE layer's rounds compute with on this rank.
struct LayerUse {
  int moe_layer = 0;
  std::vector<std::span<const int64_t>> rounds;  // local experts of each round, ascending
  std::vector<int64_t> rows;                     // of the whole step, by local expert
};

/// Slots with ready-to-compute experts. Resident and paged are one path: a number of slots. A
/// layer's step is begin_layer(); then for each round, in order, begin_round(), and acquire() and
/// release() until all of the round's experts are computed with. An expert that a round needs keeps
/// its slot from its arrival to the round's release; a slot is filled again only when the compute
/// stream has passed its last reader. Clean copies are forgotten, never written back.
class ExpertCache {
 public:
  explicit ExpertCache(ExpertCacheParts parts);
  ExpertCache(const ExpertCache&) = delete;
  ExpertCache& operator=(const ExpertCache&) = delete;

  /// Fills the slots before the first step. `progress` may be null. Throws what loading threw.
  void fill(ProgressSink* progress);

  const std::vector<ExpertLayer>& layers() const { return p_.layers; }
  const CacheSizes& sizes() const { return p_.sizes; }

  /// Starts loading what the layer needs and has not.
  void begin_layer(const LayerUse& use);
  /// Starts loading experts (local numbers) that a layer to come is predicted to need, the
  /// likeliest first, where that is asked for and pays.
  void expect(int moe_layer, std::span<const int64_t> experts);
  /// A round of the layer begins. Returns its experts in the order in which they will be ready,
  /// those that are first.
  std::vector<int64_t> begin_round(std::span<const int64_t> experts);
  /// Waits for the first of the experts, which are left of a round in loading order, and gives the
  /// slots of as many as are ready with it.
  std::vector<ExpertWeights> acquire(std::span<const int64_t> experts);
  /// The compute stream holds all work with the first `count` of these experts.
  void release(std::span<const int64_t> experts, size_t count);

  /// All experts of a layer by local number; for caches that are resident.
  std::vector<ExpertWeights> resident_experts(int moe_layer) const;
  /// A step has run a layer of resident_experts(), with so many rows of each.
  void count_rows(int moe_layer, const std::vector<int64_t>& rows);

  /// This rank's account so far.
  CacheStats stats() const;

 private:
  struct Slot {
    char* base = nullptr;
    std::shared_ptr<ExpertLoad> load;  // that fills it, or filled it last
    Event last_use;
    int64_t load_order = 0;
  };

  int64_t number_of(int moe_layer, int64_t local) const {
    return table_.first_of(moe_layer) + local;
  }
  ExpertAccount& account_of(int64_t expert);
  const ExpertShape& shape_of(int64_t expert) const;

  void count_use(const LayerUse& use, const std::vector<int64_t>& needed);
  void count_prediction(int moe_layer, const std::vector<int64_t>& needed);
  void drop_unneeded_loads();
  void expect_all(const std::vector<int64_t>& experts);
  SlotRegime choose_regime(int moe_layer, size_t needed);
  void look_ahead(int moe_layer, size_t needed);
  /// Lets as many slots take turns as load while the model's other parts compute.
  void adapt_streaming();
  /// Starts as many loads as there are slots for: first what is wanted, then what is ahead.
  void start_loads();
  void start_load(int64_t expert, int64_t slot, LoadUrgency urgency);
  /// Makes a slot for an expert that is needed now.
  void force_slot(int64_t expert, std::span<const int64_t> round);
  void wait_for(int64_t expert);
  bool is_ready(int64_t expert);
  int64_t ahead_bytes() const;
  double busy_part() const;

  ExpertCacheParts p_;
  SlotTable table_;
  DeviceBuffer memory_;
  std::vector<Slot> slots_;
  HostTier host_tier_;
  PrefetchJudge judge_;

  int current_layer_ = 0;
  std::vector<int> rounds_left_;    // in which the running layer needs an expert, by expert
  std::deque<int64_t> wanted_;      // needed, without a slot, in order of use
  std::deque<int64_t> ahead_;       // expected, without a slot
  int ahead_layer_ = -1;            // of the expected ones; -1: none
  std::vector<int64_t> expected_;   // that are expected in ahead_layer_
  std::vector<int64_t> predicted_;  // experts that a prediction named for ahead_layer_
  std::vector<std::vector<int64_t>> last_needed_;  // by MoE layer: of its last step
  int64_t next_order_ = 0;
  double start_time_ = 0.0;
  double layer_end_ = 0.0;    // when the last layer's experts were computed; 0: none was
  std::vector<double> gaps_;  // by MoE layer: seconds without experts before it, in the last step
  CacheStats stats_;
  std::unique_ptr<ExpertLoader> loader_;  // last: its threads fill the slots
};

}  // namespace switchyard
