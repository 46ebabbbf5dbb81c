// Recording of work that hosts take part in.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/backend.h"

namespace switchyard {

/// What the host does between two graphs, in a step of this number.
using HostAction = std::function<void(int64_t step)>;

/// A piece of what was recorded.
struct RecordedPart {
  Graph graph;
  HostAction then;  // may be empty
};

/// Records what is enqueued on a stream as graphs, one after each action that the host has to do
/// anew whenever it all runs again: an exchange between ranks.
class GraphRecorder {
 public:
  /// Both must outlive the recorder.
  GraphRecorder(Backend& backend, Stream& stream) : backend_(backend), stream_(stream) {}

  bool is_recording() const { return is_recording_; }
  /// See Backend::begin_recording().
  void begin();
  /// Here stands an action of the host's.
  void interrupt(HostAction action);
  /// All since begin(); comes also after an operation has thrown.
  std::vector<RecordedPart> end();

 private:
  Backend& backend_;
  Stream& stream_;
  bool is_recording_ = false;
  std::vector<RecordedPart> parts_;
};

}  // namespace switchyard
