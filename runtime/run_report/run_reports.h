// What a run writes about itself beside its results: --stats and --trace.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "parallel/control_channel.h"
#include "runtime/checkpoint/staged_file.h"
#include "runtime/run_options.h"
#include "runtime/run_report/stats_file.h"
#include "runtime/trace.h"

namespace switchyard {

/// The files and the events of one rank. Both files get their names when they are whole.
class RunReports {
 public:
  /// `options` must outlive the object.
  explicit RunReports(const RunOptions& options);

  /// On rank 0, before anything is computed: makes the files. Throws Error(kUsage) where one would
  /// overwrite a file of `read`, `output` (empty or "-": none) or the other, Error(kInput) where it
  /// cannot be written.
  void open(const std::vector<std::string>& read, const std::string& output);

  /// Where this rank's events go; null if nobody asked for them.
  Trace* trace() { return trace_ ? &*trace_ : nullptr; }

  /// From here on events are drawn, at the same time on every rank. Collective.
  void start(ControlChannel& control);

  /// Writes the files on rank 0. `stats` has no ranks elsewhere. Collective.
  void write(const StatsFile& stats, ControlChannel& control);

 private:
  const RunOptions& options_;
  std::optional<Trace> trace_;
  double start_ = 0.0;  // on this rank's steady clock
  std::optional<StagedFile> stats_file_;
  std::optional<StagedFile> trace_file_;
};

}  // namespace switchyard
