// One head of an RMS norm, for any vector type of kernels/cpu/simd.
#pragma once

#include "kernels/base/device_code.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rms_norm.h"

namespace switchyard::cpu {

/// What the columns of a head are multiplied by.
template <class Vec>
SWITCHYARD_DEVICE Vec scale_of_head(const float* columns, int64_t width, float eps) {
  const int64_t whole = width / 16 * 16;
  const int tail = static_cast<int>(width - whole);
  Vec squares = Vec::zero();
  for (int64_t i = 0; i < whole; i += 16) {
    const Vec x = Vec::load(columns + i);
    squares = fma(x, x, squares);
  }
  if (tail > 0) {
    const Vec x = Vec::load_partial(columns + whole, tail);
    squares = fma(x, x, squares);
  }
  const Vec mean = Vec::set1(reduce_add(squares)) / Vec::set1(static_cast<float>(width));
  return Vec::set1(1.0f) / sqrt(mean + Vec::set1(eps));
}

template <class Vec>
SWITCHYARD_DEVICE void rms_norm_head(const RmsNormHead& head) {
  const int64_t whole = head.width / 16 * 16;
  const int tail = static_cast<int>(head.width - whole);
  const Vec scale = scale_of_head<Vec>(head.x, head.width, head.eps);

  for (int64_t i = 0; i < whole; i += 16) {
    ((Vec::load(head.x + i) * scale) * Vec::load(head.gamma + i)).store(head.out + i);
  }
  if (tail > 0) {
    const Vec normal = Vec::load_partial(head.x + whole, tail) * scale;
    (normal * Vec::load_partial(head.gamma + whole, tail)).store_partial(head.out + whole, tail);
  }
}

}  // namespace switchyard::cpu
