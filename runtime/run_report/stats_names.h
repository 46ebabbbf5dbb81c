// Names of what a statistics file holds, shared by its writer and its reader.
#pragma once

#include <string_view>

#include "kernels/base/value_text.h"
#include "runtime/run_stats.h"

namespace switchyard {

inline constexpr std::string_view kStatsFormat = "switchyard-stats";
inline constexpr int64_t kStatsVersion = 1;

inline const Choices<CachePolicy>& cache_policy_names() {
  static const Choices<CachePolicy> names = {
      {"lru", CachePolicy::kLru}, {"lfu", CachePolicy::kLfu}, {"static", CachePolicy::kStatic}};
  return names;
}

inline const Choices<CacheScope>& cache_scope_names() {
  static const Choices<CacheScope> names = {{"global", CacheScope::kGlobal},
                                            {"layer", CacheScope::kLayer}};
  return names;
}

template <typename Value>
std::string_view name_of(Value value, const Choices<Value>& choices) {
  for (const auto& [name, choice] : choices) {
    if (choice == value) return name;
  }
  return "?";
}

/// Calls visit(name, number) for each whole number of a rank, of an expert cache, or of an expert.
template <typename Rank, typename Visit>
void for_each_count(
    Rank& stats, const Visit& visit) requires std::is_same_v<std::remove_const_t<Rank>, RankStats> {
  visit("experts", stats.num_experts);
  visit("weight_bytes", stats.weight_bytes);
  visit("planned_bytes", stats.planned_bytes);
  visit("peak_bytes", stats.peak_bytes);
  visit("bytes_read", stats.bytes_read);
  visit("rows", stats.rows);
  visit("rounds", stats.rounds);
}

template <typename Cache, typename Visit>
void for_each_count(Cache& cache, const Visit& visit) requires
    std::is_same_v<std::remove_const_t<Cache>, CacheStats> {
  visit("slots", cache.num_slots);
  visit("slot_bytes", cache.slot_bytes);
  visit("budget_bytes", cache.budget_bytes);
  visit("host_slots", cache.host_slots);
  visit("sweeps", cache.sweeps);
  visit("layers_run", cache.layers_run);
}

template <typename Counts, typename Visit>
void for_each_count(Counts& counts, const Visit& visit) requires
    std::is_same_v<std::remove_const_t<Counts>, PredictionCounts> {
  visit("predicted", counts.predicted);
  visit("correct", counts.correct);
  visit("used", counts.used);
  visit("wasted_bytes", counts.wasted_bytes);
  visit("times_switched_off", counts.times_switched_off);
}

/// A count of each expert, and its name.
struct ExpertColumn {
  std::string_view name;
  int64_t ExpertAccount::*count;
};

inline constexpr ExpertColumn kExpertColumns[] = {
    {"uses", &ExpertAccount::uses},
    {"rows", &ExpertAccount::rows},
    {"hits", &ExpertAccount::hits},
    {"loads", &ExpertAccount::loads},
    {"prefetches", &ExpertAccount::prefetches},
    {"prefetch_hits", &ExpertAccount::prefetch_hits},
};

}  // namespace switchyard
