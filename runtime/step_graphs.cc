#include "runtime/step_graphs.h"

#include <algorithm>

namespace switchyard {

StepGraphs::Done StepGraphs::run(const DecodeShape& shape, int64_t step,
                                 const std::function<void()>& enqueue) {
  bool is_new = false;
  Entry& entry = find(shape, is_new);
  if (!entry.parts.empty() && !backend_.is_current(compute_, entry.parts.front().graph)) {
    entry.parts.clear();
    is_new = true;
  }
  if (is_new) {
    enqueue();
    return Done::kEnqueued;
  }
  const bool is_recorded = entry.parts.empty();
  if (is_recorded) entry.parts = record(enqueue);
  launch(entry, step);
  return is_recorded ? Done::kRecorded : Done::kLaunched;
}

StepGraphs::Entry& StepGraphs::find(const DecodeShape& shape, bool& is_new) {
  const auto found = std::ranges::find(entries_, shape, &Entry::shape);
  is_new = found == entries_.end();
  if (!is_new) {
    entries_.splice(entries_.begin(), entries_, found);
    return entries_.front();
  }
  // Steps end with a wait for the stream: what goes does not run any more.
  if (entries_.size() == kMostShapes) entries_.pop_back();
  return entries_.emplace_front(Entry{shape, {}});
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
