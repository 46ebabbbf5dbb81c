// What happened when, for a picture of the run.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace switchyard {

/// The line of a picture on which an event is drawn.
enum class TraceTrack : uint8_t {
  kCompute,  ///< phases of the compute stream
  kWait,     ///< computing waits for an expert
  kLoad,     ///< an expert comes into its slot, one line a loading thread
};

/// Something that took a while. Times are seconds of the steady clock.
struct TraceEvent {
  TraceTrack track = TraceTrack::kCompute;
  int32_t lane = 0;  // of kLoad: the loading thread
  std::string name;
  double begin = 0.0;
  double end = 0.0;
  int32_t layer = -1;   // of the model; -1: none
  int64_t expert = -1;  // global; -1: none
  int64_t bytes = 0;    // that came from files or the host tier
};

/// One rank's events. Thread-safe.
class Trace {
 public:
  /// Events beyond are counted, not kept.
  static constexpr size_t kMaxEvents = size_t{1} << 20;

  void add(TraceEvent event);

  /// What was added so far, in the order of adding.
  std::vector<TraceEvent> events() const;
  int64_t num_dropped() const;

 private:
  mutable std::mutex mutex_;
  std::vector<TraceEvent> events_;
  int64_t num_dropped_ = 0;
};

}  // namespace switchyard
