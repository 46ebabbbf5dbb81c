// How far a run is, told to whoever shows it.
#pragma once

#include <cstdint>

namespace switchyard {

/// How progress is shown.
enum class ProgressForm {
  kAuto,   ///< a bar on a terminal, else lines
  kBar,    ///< one line that is redrawn
  kLines,  ///< a line now and then
  kNone,
};

/// A run's state. Requests that are answered and the tokens they hold.
struct Progress {
  int64_t requests_done = 0;
  int64_t total_requests = -1;  // -1: not known (standard input)
  int64_t tokens_done = 0;
  int64_t total_tokens = -1;       // -1: not known
  const char* items = "requests";  // what is counted beside tokens, for people
  /// Reading and writing files count bytes instead, all else leaves the total at -1.
  int64_t bytes_done = 0;
  int64_t total_bytes = -1;
  const char* activity = "";  // what is being done, where it is not the run itself
};

/// Shows progress. Called by one thread of rank 0, as often as there is news: the sink decides what
/// is shown.
class ProgressSink {
 public:
  ProgressSink() = default;
  ProgressSink(const ProgressSink&) = delete;
  ProgressSink& operator=(const ProgressSink&) = delete;
  virtual ~ProgressSink() = default;

  /// Something begins, as loading or, with the model loaded, the first step: rates count from here.
  virtual void start() = 0;
  /// Numbers never decrease.
  virtual void update(const Progress& progress) = 0;
  /// The run is complete; the last state stays visible.
  virtual void finish(const Progress& progress) = 0;
};

}  // namespace switchyard
