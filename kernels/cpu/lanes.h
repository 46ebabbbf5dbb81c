// Helpers over the vector types of kernels/cpu/simd.
#pragma once

#include <limits>

namespace switchyard::cpu {

// Constants, not calls of std::numeric_limits: files compiled for one instruction set must not
// hold copies of functions that other files share.
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kLaneNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/// Lanes [0, count) of `a`, the others of `b`.
template <class Vec>
Vec select_first(int count, Vec a, Vec b) {
  return select(Vec::load(kLaneNumbers) < Vec::set1(static_cast<float>(count)), a, b);
}

/// Lane 0.
template <class Vec>
float first_lane(Vec a) {
  float lanes[16];
  a.store(lanes);
  return lanes[0];
}

}  // namespace switchyard::cpu
