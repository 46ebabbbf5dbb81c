// One head of an RMS norm, for any vector type of kernels/cpu/simd.
#pragma once

#include "kernels/base/device_code.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rms_norm.h"

namespace switchyard::cpu {

template <class Vec>
SWITCHYARD_DEVICE void rms_norm_head(const RmsNormHead& head) {
  const int64_t whole = head.width / 16 * 16;
  const int tail = static_cast<int>(head.width - whole);

  Vec squares = Vec::zero();
  for (int64_t i = 0; i < whole; i += 16) {
    const Vec x = Vec::load(head.x + i);
    squares = fma(x, x, squares);
  }
  if (tail > 0) {
    const Vec x = Vec::load_partial(head.x + whole, tail);
    squares = fma(x, x, squares);
  }
  const Vec mean = Vec::set1(reduce_add(squares)) / Vec::set1(static_cast<float>(head.width));
  const Vec scale = Vec::set1(1.0f) / sqrt(mean + Vec::set1(head.eps));

  for (int64_t i = 0; i < whole; i += 16) {
    ((Vec::load(head.x + i) * scale) * Vec::load(head.gamma + i)).store(head.out + i);
  }
  if (tail > 0) {
    const Vec normal = Vec::load_partial(head.x + whole, tail) * scale;
    (normal * Vec::load_partial(head.gamma + whole, tail)).store_partial(head.out + whole, tail);
  }
}

}  // namespace switchyard::cpu
