// How many experts a rank keeps in which memory.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "runtime/expert_slot.h"
#include "runtime/run_options.h"

namespace switchyard {

/// One MoE layer's share of a rank.
struct ExpertLayer {
  std::vector<ExpertShape> experts;  // by local number
  std::vector<int64_t> ids;          // their global numbers

  int64_t num_local_experts() const { return static_cast<int64_t>(experts.size()); }
};

/// The tiers of one rank.
struct CacheSizes {
  int64_t num_experts = 0;  // of the rank, all layers together
  int64_t num_slots = 0;    // as many as experts: each has a slot of its own size
  int64_t slot_bytes = 0;   // of the largest; of all where there are fewer slots than experts
  int64_t device_bytes = 0;
  int64_t host_slots = 0;
  int64_t load_threads = 0;
  int64_t staging_bytes = 0;  // of all loading threads

  bool is_resident() const { return num_slots == num_experts; }
  int64_t host_bytes() const { return host_slots * slot_bytes + staging_bytes; }
};

/// Bytes of all experts in slots of their own.
int64_t resident_expert_bytes(const std::vector<ExpertLayer>& layers, const Backend& backend);

/// Bytes of the largest slot; 0 without experts.
int64_t largest_slot_bytes(const std::vector<ExpertLayer>& layers, const Backend& backend);

/// Fewest slots that a rank with these experts works with: one, or one for each of its layers.
int64_t fewest_slots(const std::vector<ExpertLayer>& layers, CacheScope scope);

/// The tiers that `options` ask for, with at most `free_bytes` of slots where they name no budget.
/// Never fewer slots than fewest_slots(): whether the memory holds them is another question. Throws
/// Error(kUsage) naming the option if a budget that is given holds fewer.
CacheSizes plan_cache(const std::vector<ExpertLayer>& layers, const TierOptions& options,
                      int64_t free_bytes, const Backend& backend);

}  // namespace switchyard
