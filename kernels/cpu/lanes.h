// Helpers over the vector types of kernels/cpu/simd.
#pragma once

#include <limits>

#include "kernels/base/device_code.h"

namespace switchyard::cpu {

// Constants, not calls of std::numeric_limits: files compiled for one instruction set must not
// hold copies of functions that other files share.
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Lanes [0, count) of `a`, the others of `b`.
template <class Vec>
SWITCHYARD_DEVICE Vec select_first(int count, Vec a, Vec b) {
  return select(Vec::first_lanes(count), a, b);
}

/// Lane 0.
template <class Vec>
SWITCHYARD_DEVICE float first_lane(Vec a) {
  float lanes[16];
  a.store(lanes);
  return lanes[0];
}

}  // namespace switchyard::cpu
