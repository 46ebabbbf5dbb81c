// Rotary positions of one row or head, for any vector type of kernels/cpu/simd.
#pragma once

#include "kernels/cpu/circle_impl.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/rope.h"

namespace switchyard::cpu {

/// Sines and cosines of 16 angles. Plain double lanes, which the compiler puts into vectors; their
/// operations round alike everywhere.
template <class Vec>
void sines_and_cosines(const float* angles, float* sines, float* cosines) {
  for (int i = 0; i < 16; ++i) sine_and_cosine<Vec>(angles[i], sines + i, cosines + i);
}

template <class Vec>
void rope_table_row(const RopeTableRow& row) {
  float angles[16];
  float sines[16];
  float cosines[16];
  const Vec scale = Vec::set1(row.scale);
  for (int64_t i = 0; i < row.half; i += 16) {
    const int count = row.half - i < 16 ? static_cast<int>(row.half - i) : 16;
    (Vec::set1(row.position) * Vec::load_partial(row.frequencies + i, count)).store(angles);
    sines_and_cosines<Vec>(angles, sines, cosines);
    (Vec::load(cosines) * scale).store_partial(row.out + i, count);
    (Vec::load(sines) * scale).store_partial(row.out + row.half + i, count);
  }
}

/// Sixteen pairs (a, b) that rotate together, and where they stand.
template <class Vec, RopeLayout kLayout>
struct RopePairs {
  Vec a;
  Vec b;

  static RopePairs load(const float* head, int64_t half, int64_t i, int count) {
    if constexpr (kLayout == RopeLayout::kHalves) {
      return {Vec::load_partial(head + i, count), Vec::load_partial(head + half + i, count)};
    } else {
      float a[16] = {};
      float b[16] = {};
      for (int lane = 0; lane < count; ++lane) {
        a[lane] = head[2 * (i + lane)];
        b[lane] = head[2 * (i + lane) + 1];
      }
      return {Vec::load(a), Vec::load(b)};
    }
  }

  void store(float* head, int64_t half, int64_t i, int count) const {
    if constexpr (kLayout == RopeLayout::kHalves) {
      a.store_partial(head + i, count);
      b.store_partial(head + half + i, count);
    } else {
      float first[16];
      float second[16];
      a.store(first);
      b.store(second);
      for (int lane = 0; lane < count; ++lane) {
        head[2 * (i + lane)] = first[lane];
        head[2 * (i + lane) + 1] = second[lane];
      }
    }
  }
};

template <class Vec, RopeLayout kLayout>
void rotate_head(const RopeHead& head) {
  using Pairs = RopePairs<Vec, kLayout>;
  for (int64_t i = 0; i < head.half; i += 16) {
    const int count = head.half - i < 16 ? static_cast<int>(head.half - i) : 16;
    const Vec cosine = Vec::load_partial(head.table + i, count);
    const Vec sine = Vec::load_partial(head.table + head.half + i, count);
    const Pairs x = Pairs::load(head.x, head.half, i, count);
    const Pairs y{fma(-x.b, sine, x.a * cosine), fma(x.a, sine, x.b * cosine)};
    y.store(head.out, head.half, i, count);
  }
}

template <class Vec>
void rope_head(const RopeHead& head) {
  if (head.layout == RopeLayout::kHalves) {
    rotate_head<Vec, RopeLayout::kHalves>(head);
  } else {
    rotate_head<Vec, RopeLayout::kInterleaved>(head);
  }
}

}  // namespace switchyard::cpu
