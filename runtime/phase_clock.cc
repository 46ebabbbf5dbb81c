#include "runtime/phase_clock.h"

#include <utility>

namespace switchyard {

std::string_view name_of(Phase phase) {
  switch (phase) {
    case Phase::kAttention:
      return "attention";
    case Phase::kDense:
      return "dense";
    case Phase::kGate:
      return "gate";
    case Phase::kExchange:
      return "exchange";
    case Phase::kExperts:
      return "experts";
    case Phase::kGraph:
      return "graph";
    case Phase::kLoading:
      return "loading";
    case Phase::kIdle:
      return "idle";
    case Phase::kCount:
      break;
  }
  return "?";
}

void PhaseClock::begin(Phase phase) { begin(phase, layer_); }

void PhaseClock::begin(Phase phase, int layer) {
  if (!is_paused_) marks_.push_back({phase, layer, backend_.record(compute_)});
}

void PhaseClock::end() { begin(Phase::kCount); }

void PhaseClock::collect() {
  if (!marks_.empty()) marks_.back().event.synchronize();
  for (size_t i = 0; i + 1 < marks_.size(); ++i) {
    const Mark& mark = marks_[i];
    if (mark.phase == Phase::kCount) continue;
    const double begin = mark.event.completion_time();
    const double end = marks_[i + 1].event.completion_time();
    seconds_[static_cast<size_t>(mark.phase)] += end - begin;
    if (trace_ != nullptr)
      draw({.name = std::string(name_of(mark.phase)),
            .begin = begin,
            .end = end,
            .layer = mark.layer});
  }
  if (held_) trace_->add(*std::exchange(held_, std::nullopt));
  marks_.clear();
}

void PhaseClock::draw(TraceEvent event) {
  if (held_ && held_->name == event.name && held_->layer == event.layer &&
      held_->end == event.begin) {
    held_->end = event.end;
    return;
  }
  if (held_) trace_->add(*std::move(held_));
  held_ = std::move(event);
}

}  // namespace switchyard
