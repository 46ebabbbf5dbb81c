// Statistics of a run made by hand.
#pragma once

#include <string>

#include "runtime/run_report/stats_file.h"

namespace switchyard {

/// Two ranks that hold half of the experts of each layer; expert e of the model is used e + 1 times
/// by layer 1, 10 (e + 1) times by layer 3.
inline StatsFile small_stats(int64_t num_experts = 4) {
  StatsFile stats;
  stats.path = "run.json";
  stats.run = {"1.2", "score", "cpu-fp32/\"x\"",          "abc", "/models/tiny", "mixtral",
               7,     {1, 3},  {num_experts, num_experts}};
  for (int64_t rank = 0; rank < 2; ++rank) {
    RankStats& r = stats.ranks.emplace_back();
    r.host = rank == 0 ? "node-a" : "node-b";
    r.num_experts = num_experts;
    r.rows = 100 + rank;
    r.scheduled_idle = 0.125;
    r.expert_rows = {10, 20};
    r.choices = {30, 40};
    r.dropped = {0, 1};
    r.seconds.assign(static_cast<size_t>(Phase::kCount), 0.5);
    CacheStats& cache = r.cache;
    cache.policy = CachePolicy::kLfu;
    cache.scope = CacheScope::kLayer;
    cache.num_slots = num_experts / 2;
    cache.slot_bytes = 1000;
    cache.budget_bytes = 5000;
    cache.files = {8, int64_t{3} << 30, 1.5};
    cache.host = {2, 4096, 0.25};
    cache.pack_seconds = 0.75;
    cache.stall_seconds = 0.0625;
    cache.sweeps = 1;
    cache.layers_run = 14;
    cache.predictions = {10, 6, 8, 77, 1};
    for (int64_t layer = 0; layer < 2; ++layer) {
      std::vector<int64_t>& ids = cache.expert_ids.emplace_back();
      std::vector<ExpertAccount>& experts = cache.experts.emplace_back();
      for (int64_t i = 0; i < num_experts / 2; ++i) {
        ids.push_back(rank * num_experts / 2 + i);
        const int64_t uses = (ids.back() + 1) * (layer == 0 ? 1 : 10);
        experts.push_back({uses, 2 * uses, uses / 2, uses - uses / 2, 1, 1});
      }
    }
    for (int32_t step = 0; step < 20; ++step) {
      const int32_t last = static_cast<int32_t>(num_experts / 2) - 1;
      cache.log.insert(cache.log.end(), {0, 2, 0, last, 1, 1, step % (last + 1)});
    }
  }
  return stats;
}

}  // namespace switchyard
