// The file of `--trace`: events in the format that chrome://tracing and Perfetto show.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/control_channel.h"
#include "runtime/checkpoint/staged_file.h"
#include "runtime/run_stats.h"
#include "runtime/trace.h"

namespace switchyard {

/// What the events belong to.
struct TraceContext {
  std::string fingerprint;
  const std::vector<RankStats>& ranks;  // on rank 0: for the names of their hosts
  double start = 0.0;                   // of this rank's clock, from which its times are counted
};

/// Writes a JSON array with an object a line: {"ph": "M"} for the names of ranks ("process") and of
/// their lines ("thread"), {"ph": "X"} for events, times in microseconds since the start. Rank 0
/// passes the file and writes; the others send it their events, a rank at a time and in parts, so
/// that a part of one rank is all it holds of them. Collective. Throws AgreedError when writing
/// fails.
void write_trace(const TraceContext& context, const Trace& mine, StagedFile* file,
                 ControlChannel& control);

/// One rank's events as a file holds them; times in seconds since the start.
struct RankTrace {
  std::string name;
  std::vector<TraceEvent> events;
  int64_t num_dropped = 0;  // that the rank had no room for
};

struct TraceFile {
  std::string path;
  std::string fingerprint;
  std::vector<RankTrace> ranks;
};

/// Events that a reader keeps.
inline constexpr size_t kMaxFileEvents = size_t{4} << 20;

/// Reads what write_trace() wrote. Throws Error(kInput) naming file and line for anything else.
TraceFile read_trace_file(const std::string& path);

}  // namespace switchyard
