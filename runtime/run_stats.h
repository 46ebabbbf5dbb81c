// What each rank held and did, as a table at the end of a run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/control_channel.h"
#include "runtime/cache_stats.h"
#include "runtime/phase_clock.h"

namespace switchyard {

/// One rank's account of a run.
struct RankStats {
  std::string host;                  // its name; empty where nobody asked
  int64_t num_experts = 0;           // of all MoE layers
  int64_t weight_bytes = 0;          // dense and experts
  int64_t planned_bytes = 0;         // of the process: what it held before and the memory plan
  int64_t peak_bytes = 0;            // what it held at most
  int64_t bytes_read = 0;            // from the checkpoint's files, headers included
  int64_t rows = 0;                  // tokens run through attention
  int64_t rounds = 0;                // of all MoE steps
  double scheduled_idle = 0.0;       // Engine::mean_idle(), equal on all ranks
  std::vector<int64_t> expert_rows;  // received, by MoE layer
  std::vector<int64_t> choices;      // (token, k) choices of its rows, by MoE layer
  std::vector<int64_t> dropped;      // of these, beyond an expert's capacity
  std::vector<double> seconds;       // by Phase
  CacheStats cache;                  // of its experts; no layers where nothing was recorded
};

/// Collects every rank's stats on rank 0; empty elsewhere. Collective.
std::vector<RankStats> gather_stats(const RankStats& mine, ControlChannel& control);

/// The tables: one row a rank (experts, bytes, rows, seconds in each phase); where a rank has fewer
/// slots than experts, what the caches did, and what packing weights on the way cost; for each MoE
/// layer the maximum and mean rows over ranks and, where any were, the choices dropped.
/// `moe_layers` are the layers' numbers in the model.
std::string stats_text(const std::vector<RankStats>& ranks, const std::vector<int>& moe_layers);

}  // namespace switchyard
