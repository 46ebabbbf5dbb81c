#include "runtime/step_graphs.h"

#include <algorithm>
#include <optional>

namespace switchyard {

StepGraphs::Done StepGraphs::run(const DecodeShape& shape, int64_t step,
                                 const std::function<void()>& enqueue) {
  if (const Entry* const entry = find(shape)) {
    launch(*entry, step);
    return Done::kLaunched;
  }
  if (!was_seen(shape) || !has_memory()) {
    enqueue();
    return Done::kEnqueued;
  }
  // Steps end with a wait for the stream: what goes does not run any more.
  if (entries_.size() == kMostShapes) entries_.pop_back();
  entries_.push_front({shape, record(enqueue)});
  std::erase(seen_, shape);
  launch(entries_.front(), step);
  return Done::kRecorded;
}

const StepGraphs::Entry* StepGraphs::find(const DecodeShape& shape) {
  const auto found = std::ranges::find(entries_, shape, &Entry::shape);
  if (found == entries_.end()) return nullptr;
  if (!backend_.is_current(compute_, found->parts.front().graph)) {
    entries_.erase(found);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found);
  return &entries_.front();
}

bool StepGraphs::was_seen(const DecodeShape& shape) {
  const bool before = std::erase(seen_, shape) > 0;
  seen_.push_front(shape);
  if (seen_.size() > kMostSeen) seen_.pop_back();
  return before;
}

bool StepGraphs::has_memory() const {
  const std::optional<DeviceMemory> memory = backend_.device_memory();
  return !memory || memory->free_bytes >= kLeastFreeBytes;
}

std::vector<RecordedPart> StepGraphs::record(const std::function<void()>& enqueue) {
  recorder_.begin();
  clock_.pause();
  try {
    enqueue();
  } catch (...) {
    clock_.resume();
    recorder_.end();
    throw;
  }
  clock_.resume();
  return recorder_.end();
}

void StepGraphs::launch(const Entry& entry, int64_t step) {
  ++num_launched_;
  for (const RecordedPart& part : entry.parts) {
    clock_.begin(Phase::kGraph);
    backend_.launch(compute_, part.graph);
    if (!part.then) continue;
    clock_.begin(Phase::kExchange);
    part.then(step);
  }
}

}  // namespace switchyard
