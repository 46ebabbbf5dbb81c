// The drawings of a page, each a piece of HTML.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "runtime/run_report/stats_file.h"
#include "runtime/run_report/trace_file.h"

namespace switchyard {

/// How often every expert was used, MoE layers downwards, experts to the right, with borders where
/// another rank's begin. Empty if no use was recorded.
std::string draw_heat_map(const StatsFile& stats);

/// Hit rates by the number of slots, of every policy, of the optimum and of uniform routing, from
/// the logs of uses, and what the run had. Empty if no use was logged.
std::string draw_hit_rates(const StatsFile& stats);

/// Seconds of each rank by phase.
std::string draw_phases(const StatsFile& stats);

/// Bytes of experts that each rank loaded, by where they came from. Empty if there were none.
std::string draw_traffic(const StatsFile& stats);

/// Begin and end in seconds.
using TimeWindow = std::pair<double, double>;

/// What every rank did when: the whole run in coarse steps, and a window of it event by event;
/// without `window` one from the run's middle that is not too full to be read.
std::string draw_timeline(const TraceFile& trace, const std::optional<TimeWindow>& window);

}  // namespace switchyard
