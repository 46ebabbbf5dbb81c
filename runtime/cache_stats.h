// What a rank's expert cache did.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/byte_codec.h"
#include "runtime/eviction_policy.h"

namespace switchyard {

/// One expert's account. A use is one step in which the expert has rows.
struct ExpertAccount {
  int64_t uses = 0;
  int64_t rows = 0;
  int64_t hits = 0;           // uses that found it in its slot, or on its way by a prefetch
  int64_t loads = 0;          // into a slot, prefetches included
  int64_t prefetches = 0;     // loads before anybody needed it
  int64_t prefetch_hits = 0;  // of these, used before they were given up

  int64_t misses() const { return uses - hits; }
};

/// What came over one link.
struct LinkTraffic {
  int64_t loads = 0;
  int64_t bytes = 0;
  double seconds = 0.0;  // in which at least one load was under way; overlaps with computing

  /// While loading; 0 where nothing came.
  double gigabytes_per_second() const {
    return seconds > 0.0 ? static_cast<double>(bytes) / seconds / 1e9 : 0.0;
  }
};

/// How good the predictions of the next layer's experts were.
struct PredictionCounts {
  int64_t predicted = 0;     // experts that were said to be used, by layer and step
  int64_t correct = 0;       // of these, used
  int64_t used = 0;          // experts that were used in the steps and layers with a prediction
  int64_t wasted_bytes = 0;  // of prefetches that were given up unused
  int64_t times_switched_off = 0;
};

/// One rank's account of its experts.
struct CacheStats {
  CachePolicy policy = CachePolicy::kLru;
  CacheScope scope = CacheScope::kGlobal;
  int64_t num_slots = 0;
  int64_t slot_bytes = 0;  // of the largest
  int64_t budget_bytes = 0;
  int64_t host_slots = 0;
  std::vector<std::vector<int64_t>> expert_ids;     // global, by MoE layer and local number
  std::vector<std::vector<ExpertAccount>> experts;  // by MoE layer and local number
  LinkTraffic files;                                // from files
  LinkTraffic host;                                 // from the host tier into slots
  double pack_seconds = 0.0;   // of all loading threads, in packing what was not converted
  double stall_seconds = 0.0;  // in which computing waited for an expert
  int64_t sweeps = 0;          // layers run as a sweep: more experts needed than may stay
  int64_t layers_run = 0;      // MoE layers of all steps
  PredictionCounts predictions;
  /// Uses in their order, of each layer that was run: its MoE layer, how many experts it used, and
  /// their local numbers. At most kMaxLoggedUses numbers; then the log ends.
  std::vector<int32_t> log;

  static constexpr size_t kMaxLoggedUses = size_t{1} << 20;
};

/// All of a rank's experts together.
ExpertAccount total_of(const CacheStats& stats);
ExpertAccount total_of(const std::vector<ExpertAccount>& experts);

/// Of all layers.
int64_t num_experts(const CacheStats& stats);

/// `part` of `whole`; 0 of nothing.
double share_of(int64_t part, int64_t whole);

/// What the hit rate would be if every expert were used equally often and independently: the share
/// of the experts that has a slot. What a measured rate has beyond it is locality of the uses.
double uniform_hit_rate(int64_t num_slots, int64_t num_experts);

void put_cache_stats(ByteWriter& writer, const CacheStats& stats);
CacheStats get_cache_stats(ByteReader& reader);

}  // namespace switchyard
