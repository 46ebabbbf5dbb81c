// One self-contained page about runs: text, tables and drawings, without scripts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/run_report/run_pictures.h"
#include "runtime/run_report/stats_file.h"
#include "runtime/run_report/trace_file.h"

namespace switchyard {

/// The page for these runs and traces, HTML that is well-formed XML too. Runs of several models
/// stand one behind the other; that they differ is told.
std::string format_report_page(const std::vector<StatsFile>& runs,
                               const std::vector<TraceFile>& traces,
                               const std::optional<TimeWindow>& window);

}  // namespace switchyard
