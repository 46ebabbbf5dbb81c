#include "parallel/communicator.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace switchyard {

double deadline_of(Patience patience, double deadline_seconds) {
  constexpr double kShortSeconds = 120.0;
  switch (patience) {
    case Patience::kDeadline:
      return deadline_seconds;
    case Patience::kShort:
      return deadline_seconds > 0.0 ? std::min(deadline_seconds, kShortSeconds) : kShortSeconds;
    case Patience::kForever:
      break;
  }
  return 0.0;
}

std::string CollectiveLabel::text() const {
  std::string text;
  const auto append = [&](const char* name, int64_t value) {
    if (value >= 0) text += concat(text.empty() ? "" : ", ", name, value);
  };
  append("step ", step);
  append("layer ", layer);
  append("round ", round);
  return text + (text.empty() ? "" : ", ") + phase;
}

}  // namespace switchyard
