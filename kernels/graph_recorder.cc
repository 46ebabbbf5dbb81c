#include "kernels/graph_recorder.h"

#include <utility>

namespace switchyard {

void GraphRecorder::begin() {
  backend_.begin_recording(stream_);
  is_recording_ = true;
}

void GraphRecorder::interrupt(HostAction action) {
  parts_.push_back({backend_.end_recording(stream_), std::move(action)});
  backend_.begin_recording(stream_);
}

std::vector<RecordedPart> GraphRecorder::end() {
  is_recording_ = false;
  parts_.push_back({backend_.end_recording(stream_), {}});
  return std::exchange(parts_, {});
}

}  // namespace switchyard
