#include "runtime/phase_clock.h"

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
    case Phase::kLoading:
      return "loading";
    case Phase::kIdle:
      return "idle";
    case Phase::kCount:
      break;
  }
  return "?";
}

void PhaseClock::begin(Phase phase) { marks_.push_back({phase, backend_.record(compute_)}); }

void PhaseClock::end() { begin(Phase::kCount); }

void PhaseClock::collect() {
  if (!marks_.empty()) marks_.back().event.synchronize();
  for (size_t i = 0; i + 1 < marks_.size(); ++i) {
    if (marks_[i].phase == Phase::kCount) continue;
    seconds_[static_cast<size_t>(marks_[i].phase)] +=
        marks_[i + 1].event.completion_time() - marks_[i].event.completion_time();
  }
  marks_.clear();
}

}  // namespace switchyard
