#include "runtime/trace.h"

#include <utility>

namespace switchyard {

void Trace::add(TraceEvent event) {
  const std::lock_guard lock(mutex_);
  if (events_.size() >= kMaxEvents) {
    ++num_dropped_;
    return;
  }
  events_.push_back(std::move(event));
}

std::vector<TraceEvent> Trace::events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}

int64_t Trace::num_dropped() const {
  const std::lock_guard lock(mutex_);
  return num_dropped_;
}

}  // namespace switchyard
