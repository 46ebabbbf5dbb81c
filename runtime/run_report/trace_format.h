// What the writer and the reader of trace files share.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/base/error.h"
#include "runtime/trace.h"

namespace switchyard {

inline constexpr std::string_view kTraceFormat = "switchyard_trace";
inline constexpr int64_t kTraceVersion = 1;

// "tid" of a rank's lines in a picture.
inline constexpr int64_t kComputeLine = 0;
inline constexpr int64_t kWaitLine = 1;
inline constexpr int64_t kFirstLoadLine = 2;

inline std::string_view name_of(TraceTrack track) {
  switch (track) {
    case TraceTrack::kCompute:
      return "compute";
    case TraceTrack::kWait:
      return "wait";
    case TraceTrack::kLoad:
      break;
  }
  return "load";
}

inline int64_t line_of(const TraceEvent& event) {
  switch (event.track) {
    case TraceTrack::kCompute:
      return kComputeLine;
    case TraceTrack::kWait:
      return kWaitLine;
    case TraceTrack::kLoad:
      break;
  }
  return kFirstLoadLine + event.lane;
}

}  // namespace switchyard
