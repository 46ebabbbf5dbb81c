// What a cache of experts would have done with the uses of a run: policies and sizes compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/cache_stats.h"
#include "runtime/eviction_policy.h"

namespace switchyard {

/// Uses of one rank's experts in their order.
struct UseLog {
  std::vector<int64_t> num_experts;  // by MoE layer
  std::vector<int32_t> log;          // as CacheStats::log
};

/// What a rank recorded.
UseLog use_log(const CacheStats& stats);

/// Throws Error(kInput) of `source` unless the log is whole, its layers and experts exist and no
/// layer uses an expert twice in a step.
void validate(const UseLog& uses, const std::string& source);

/// A policy of the cache, or what no cache can do: know the future.
enum class SimulatedPolicy : uint8_t {
  kLru,
  kLfu,
  kStatic,
  /// Gives up the expert whose next use lies farthest ahead (L. A. Belady, IBM Systems Journal 5,
  /// 1966): no policy of the same scope has more hits.
  kOptimum,
};

struct SimulatedCache {
  SimulatedPolicy policy = SimulatedPolicy::kLru;
  CacheScope scope = CacheScope::kGlobal;
  int64_t num_slots = 0;
  /// [MoE layer][expert], for kStatic; empty otherwise.
  std::vector<std::vector<int64_t>> earlier_uses = {};
};

struct SimulatedHits {
  int64_t uses = 0;
  int64_t hits = 0;
};

/// Runs the uses of a valid log through an empty cache that works as ExpertCache does where layers
/// need few experts. All that a layer needs are marked used before anything moves; a hit is one
/// that was resident by then. None of them is given up while the layer runs. Where a layer needs
/// more than there are slots, the rest passes through and does not stay; the optimum chooses which.
SimulatedHits simulate_cache(const UseLog& uses, const SimulatedCache& cache);

/// How often each expert was used, [MoE layer][expert].
std::vector<std::vector<int64_t>> count_uses(const UseLog& uses);

/// Cuts the log where a layer begins, so that at most `most` numbers are left.
void shorten_log(std::vector<int32_t>& log, size_t most);

/// The first or the last half of the steps, by uses, cut where a layer begins.
enum class LogHalf : uint8_t { kFirst, kSecond };
UseLog half_of(const UseLog& uses, LogHalf half);

}  // namespace switchyard
