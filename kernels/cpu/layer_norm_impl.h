// One row of layer normalisation, for any vector type of kernels/cpu/simd.
#pragma once

#include "kernels/base/device_code.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/layer_norm.h"

namespace switchyard::cpu {

/// What is taken from the columns of a row, and what they are then multiplied by.
template <class Vec>
struct RowScale {
  Vec mean;
  Vec scale;
};

template <class Vec>
SWITCHYARD_DEVICE RowScale<Vec> scale_of_row(const float* x, int64_t width, float eps) {
  const int64_t whole = width / 16 * 16;
  const int tail = static_cast<int>(width - whole);
  const Vec count = Vec::set1(static_cast<float>(width));

  Vec sum = Vec::zero();
  for (int64_t i = 0; i < whole; i += 16) sum = sum + Vec::load(x + i);
  if (tail > 0) sum = sum + Vec::load_partial(x + whole, tail);
  const Vec mean = Vec::set1(reduce_add(sum)) / count;

  Vec squares = Vec::zero();
  for (int64_t i = 0; i < whole; i += 16) {
    const Vec centred = Vec::load(x + i) - mean;
    squares = fma(centred, centred, squares);
  }
  if (tail > 0) {
    const Vec centred = select_first(tail, Vec::load_partial(x + whole, tail) - mean, Vec::zero());
    squares = fma(centred, centred, squares);
  }
  const Vec variance = Vec::set1(reduce_add(squares)) / count;
  return {mean, Vec::set1(1.0f) / sqrt(variance + Vec::set1(eps))};
}

template <class Vec>
SWITCHYARD_DEVICE void layer_norm_row(const LayerNormParams& params, int64_t row) {
  const int64_t width = params.width;
  const int64_t whole = width / 16 * 16;
  const int tail = static_cast<int>(width - whole);
  const float* x = params.x + row * width;
  float* out = params.out + row * width;
  const auto [mean, scale] = scale_of_row<Vec>(x, width, params.eps);

  for (int64_t i = 0; i < whole; i += 16) {
    const Vec normal = (Vec::load(x + i) - mean) * scale;
    fma(normal, Vec::load(params.gamma + i), Vec::load(params.beta + i)).store(out + i);
  }
  if (tail > 0) {
    const Vec normal = (Vec::load_partial(x + whole, tail) - mean) * scale;
    const Vec gamma = Vec::load_partial(params.gamma + whole, tail);
    fma(normal, gamma, Vec::load_partial(params.beta + whole, tail))
        .store_partial(out + whole, tail);
  }
}

}  // namespace switchyard::cpu
