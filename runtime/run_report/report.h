// `report`: files about runs in, a page out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/base/log.h"
#include "parallel/control_channel.h"
#include "runtime/run_report/run_pictures.h"

namespace switchyard {

/// Every option of `report`.
struct ReportOptions {
  std::vector<std::string> files;      // of --stats and --trace, in any order
  std::string output = "report.html";  // "-": standard output
  std::optional<TimeWindow> window;    // of the traces; none: chosen by us
  LogLevel log_level = LogLevel::kInfo;
};

/// Reads the files and writes the page, on rank 0. Collective. Throws AgreedError for a file that
/// is neither statistics nor a trace.
void run_report(const ReportOptions& options, ControlChannel& control);

}  // namespace switchyard
