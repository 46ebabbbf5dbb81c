#include "runtime/run_report/run_reports.h"

#include <filesystem>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/base/steady_seconds.h"
#include "runtime/requests/run_files.h"
#include "runtime/run_report/trace_file.h"

namespace switchyard {
namespace {

/// A file that an option names, ready to be written.
StagedFile open_file(const char* option, const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    fail_usage(option, " ", path, " is no regular file: expected the name of a file to write");
  }
  return StagedFile(path);
}

/// Whether two names will be those of one file, which need not be there yet.
bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  const auto resolved = [&](const std::string& path) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
  };
  return !a.empty() && !b.empty() && resolved(a) == resolved(b);
}

void require_other_file(const char* option, const std::string& path, const std::string& other,
                        const char* what) {
  if (!is_same_file(path, other)) return;
  fail_usage(option, " ", path, " is ", what, " too; give another name");
}

}  // namespace

RunReports::RunReports(const RunOptions& options) : options_(options) {
  if (!options.trace_file.empty()) trace_.emplace();
}

void RunReports::open(const std::vector<std::string>& read, const std::string& output) {
  const std::string& stats = options_.stats_file;
  const std::string& trace = options_.trace_file;
  const std::string results = output == "-" ? "" : output;
  for (const auto& [option, path] : {std::pair{"--stats", &stats}, {"--trace", &trace}}) {
    if (path->empty()) continue;
    require_other_files(read, *path, option);
    require_other_file(option, *path, results, "the file of the results");
  }
  require_other_file("--trace", trace, stats, "the file of --stats");
  if (!stats.empty()) stats_file_.emplace(open_file("--stats", stats));
  if (!trace.empty()) trace_file_.emplace(open_file("--trace", trace));
}

void RunReports::start(ControlChannel& control) {
  if (!trace_) return;
  control.barrier({.phase = "start of the trace"});
  start_ = steady_seconds();
}

void RunReports::write(const StatsFile& stats, ControlChannel& control) {
  const auto write_stats = [&] {
    if (!stats_file_) return;
    stats_file_->write_at(0, format_stats(stats));
    stats_file_->close();
    stats_file_->publish();
    log_info("statistics: ", options_.stats_file);
  };
  control.agree(write_stats, {.phase = "statistics file"});
  if (!trace_) return;
  write_trace({stats.run.fingerprint, stats.ranks, start_}, *trace_,
              trace_file_ ? &*trace_file_ : nullptr, control);
  if (trace_file_) log_info("trace: ", options_.trace_file);
}

}  // namespace switchyard
