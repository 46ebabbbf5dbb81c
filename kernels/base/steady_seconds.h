// Time for measuring how long things take.
#pragma once

#include <chrono>

namespace switchyard {

/// Seconds of the steady clock; only differences mean something.
inline double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace switchyard
