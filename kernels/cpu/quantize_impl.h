// Fits groups of weights to few bits, for any vector type of kernels/cpu/simd.
//
// Half-quadratic quantisation (HQQ): the scale of a group is a part of its range over the largest
// code, and the offset is moved in turn with an error e that is allowed to stay,
//
//   codes = clamp(round((w - offset) / scale)),  error = w - (codes * scale + offset)
//   e = sign(error) max(|error| - |error|^(p - 1) / beta, 0),  offset += mean(error - e)
//
// with p = 0.7 and beta = 10 * 1.01^i, up to 20 times or until the offset rests; the one with the
// least sum of |error| stays. Each of 16 rows has a lane and ends by itself, so that rows do not
// depend on what is beside them. Scales are those that are stored; so are, for the codes, offsets.
#pragma once

#include <cstdint>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/quantize.h"

namespace switchyard::cpu {

/// Adding it to a number below 2^22 rounds that to an integer, ties to even, that stands in the
/// low bits of the sum.
inline constexpr float kRounder = 0x1.8p23f;
/// Weights are limited to this magnitude: elements, which may lie half a step further, are finite.
inline constexpr float kLargestWeight = 0x1p126f;
/// A smaller range counts as none, for its scale or the inverse of it could be subnormal.
inline constexpr float kSmallestRange = 0x1p-100f;

template <class Vec>
struct WeightRange {
  Vec low, high;
  Vec poison;  // 0, or NaN where a weight is not finite
};

template <class Vec>
WeightRange<Vec> range_of(const GroupWeights& group) {
  WeightRange<Vec> range = {Vec::load(group.weights), Vec::load(group.weights), Vec::zero()};
  for (int64_t i = 0; i < group.count; ++i) {
    const Vec w = Vec::load(group.weights + i * 16);
    range.low = min(w, range.low);
    range.high = max(w, range.high);
    range.poison = fma(w, Vec::zero(), range.poison);
  }
  const Vec limit = Vec::set1(kLargestWeight);
  range.low = min(limit, max(-limit, range.low));
  range.high = min(limit, max(-limit, range.high));
  return range;
}

/// Scale and offset of 16 groups as they are used, and as they are stored where that differs.
template <class Vec>
struct Grid {
  Vec scale, offset;
  Vec scale_code, zero_code;
};

/// The nearest number whose lowest kScaleShift bits are 0; x is not negative.
template <class Vec>
Vec round_scale(Vec x) {
  using Int = typename Vec::Int;
  constexpr int32_t kStep = 1 << kScaleShift;
  const Int bits = bits_of(x);
  const Int odd = shift_right<kScaleShift>(bits) & Int::set1(1);
  return from_bits((bits + Int::set1(kStep / 2 - 1) + odd) & Int::set1(-kStep));
}

/// `grid` with this offset, or the nearest one that can be stored.
template <class Vec, int kBits>
Grid<Vec> with_offset(Grid<Vec> grid, Vec offset) {
  if constexpr (has_coded_scales(kBits)) {
    const Vec steps = round(offset / (grid.scale * Vec::set1(-kZeroStep<kBits>)));
    // In this order NaN, of a scale that is 0, becomes 0.
    grid.zero_code = min(Vec::set1(255.0f), max(steps, Vec::zero()));
    grid.offset = (grid.zero_code * Vec::set1(-kZeroStep<kBits>)) * grid.scale;
  } else {
    grid.offset = offset;
  }
  return grid;
}

/// The part of a group's range that its codes span. HQQ spans all of it; clamping what is outermost
/// makes the steps between smaller: over normal, heavy-tailed and uniform weights these parts had
/// the least mean square errors, 4, 11 and 18 % below those of 1 (of 8 bits 1 is best).
template <int kBits>
inline constexpr float kSpannedPart = kBits == 8   ? 1.0f
                                      : kBits == 4 ? 0.97f
                                      : kBits == 3 ? 0.9f
                                                   : 0.86f;

/// The grid that spans this part of the range. Its offset is not yet one that can be stored.
template <class Vec, int kBits>
Grid<Vec> grid_over(const WeightRange<Vec>& range, float part, const float* units) {
  constexpr float kLargestCode = (1 << kBits) - 1;
  Grid<Vec> grid = {Vec::zero(), range.low, Vec::zero(), Vec::zero()};
  const Vec low = has_coded_scales(kBits) ? min(range.low, Vec::zero()) : range.low;
  const Vec high = has_coded_scales(kBits) ? max(range.high, Vec::zero()) : range.high;
  const Vec width = high - low;
  if constexpr (has_coded_scales(kBits)) {
    const Vec unit = Vec::load(units);
    const Vec root = round(sqrt(width * Vec::set1(part / kLargestCode) / unit));
    // In this order NaN becomes a code too.
    grid.scale_code = min(Vec::set1(255.0f), max(root, Vec::set1(1.0f)));
    grid.scale = unit * (grid.scale_code * grid.scale_code);
  } else {
    const Vec scale = round_scale(width * Vec::set1(part / kLargestCode));
    grid.scale = select(width >= Vec::set1(kSmallestRange), scale, Vec::zero());
  }
  const Vec excess = fma(grid.scale, Vec::set1(kLargestCode), -width);
  const Vec centred = fma(excess, Vec::set1(-0.5f), low);
  grid.offset = select(grid.scale > Vec::zero(), centred, low);
  return grid;
}

/// Rounds weights to codes.
template <class Vec, int kBits>
struct Rounding {
  Vec scale, offset, inverse;
  explicit Rounding(const Grid<Vec>& grid)
      : scale(grid.scale),
        offset(grid.offset),
        inverse(select(grid.scale > Vec::zero(), Vec::set1(1.0f) / grid.scale, Vec::zero())) {}

  /// The code + kRounder of w = offset + distance; 0 for NaN.
  Vec code(Vec distance) const {
    constexpr float kLargestCode = (1 << kBits) - 1;
    const Vec rounded = fma(distance, inverse, Vec::set1(kRounder));
    return min(Vec::set1(kRounder + kLargestCode), max(rounded, Vec::set1(kRounder)));
  }
  /// What is left of the distance beyond its code.
  Vec error(Vec distance) const {
    const Vec code_value = code(distance) - Vec::set1(kRounder);
    return fma(-code_value, scale, distance);
  }
};

/// Sums over a group under some grid.
template <class Vec>
struct GroupErrors {
  Vec magnitude;  // of |error|
  Vec largest;    // |error|
  Vec moved;      // of error - e
};

/// Below this e is 0 in every iteration: |error|^1.3 is below 1 / (10 * 1.01^19).
inline constexpr float kNoShrinkageBelow = 0.147f;

/// The errors where e is 0 throughout.
template <class Vec, int kBits>
GroupErrors<Vec> plain_errors(const GroupWeights& group, const Rounding<Vec, kBits>& rounding) {
  GroupErrors<Vec> sums = {Vec::zero(), Vec::zero(), Vec::zero()};
  for (int64_t i = 0; i < group.count; ++i) {
    const Vec error = rounding.error(Vec::load(group.weights + i * 16) - rounding.offset);
    const Vec magnitude = abs(error);
    sums.magnitude = sums.magnitude + magnitude;
    sums.largest = max(sums.largest, magnitude);
    sums.moved = sums.moved + error;
  }
  return sums;
}

/// The sum of error - e: sign(error) min(|error|, |error|^(p - 1) / beta).
template <class Vec, int kBits>
Vec shrunk_sum(const GroupWeights& group, const Rounding<Vec, kBits>& rounding, float beta) {
  const Vec inverse_beta = Vec::set1(1.0f / beta);
  Vec sum = Vec::zero();
  for (int64_t i = 0; i < group.count; ++i) {
    const Vec error = rounding.error(Vec::load(group.weights + i * 16) - rounding.offset);
    const Vec magnitude = abs(error);
    const Vec allowed = exp(Vec::set1(-0.3f) * log(magnitude)) * inverse_beta;
    sum = sum + with_sign_of(error, min(magnitude, allowed));
  }
  return sum;
}

/// `grid` at the best of up to kFitIterations offsets, as it can be stored.
template <class Vec, int kBits>
Grid<Vec> improve(const GroupWeights& group, Grid<Vec> grid) {
  const Vec count = Vec::set1(static_cast<float>(group.count));
  Vec best_offset = grid.offset;
  Vec best_error = Vec::set1(kInfinity);
  auto is_moving = Vec::first_lanes(16);
  float beta = 10.0f;
  for (int i = 0; i < kFitIterations; ++i) {
    const Rounding<Vec, kBits> rounding(grid);
    GroupErrors<Vec> errors = plain_errors(group, rounding);
    const auto is_best = is_moving & (errors.magnitude < best_error);
    best_error = select(is_best, errors.magnitude, best_error);
    best_offset = select(is_best, grid.offset, best_offset);
    if (lane_bits(errors.largest > Vec::set1(kNoShrinkageBelow)) != 0) {
      errors.moved = shrunk_sum(group, rounding, beta);
    }
    const Vec offset = grid.offset + errors.moved / count;
    is_moving = is_moving & ~(offset == grid.offset);
    if (lane_bits(is_moving) == 0) break;
    grid.offset = offset;
    beta *= 1.01f;
  }
  return with_offset<Vec, kBits>(grid, best_offset);
}

/// The grid of a or b, lane by lane, that leaves the smaller errors; a at a tie.
template <class Vec, int kBits>
Grid<Vec> better_of(const GroupWeights& group, const Grid<Vec>& a, const Grid<Vec>& b) {
  const Vec error_of_a = plain_errors(group, Rounding<Vec, kBits>(a)).magnitude;
  const Vec error_of_b = plain_errors(group, Rounding<Vec, kBits>(b)).magnitude;
  const auto is_b = error_of_b < error_of_a;
  return {select(is_b, b.scale, a.scale), select(is_b, b.offset, a.offset),
          select(is_b, b.scale_code, a.scale_code), select(is_b, b.zero_code, a.zero_code)};
}

/// The best grid there is for a group.
template <class Vec, int kBits>
Grid<Vec> fit_grid(const GroupWeights& group, const WeightRange<Vec>& range, const float* units) {
  constexpr float kPart = kSpannedPart<kBits>;
  const Grid<Vec> fit = improve<Vec, kBits>(group, grid_over<Vec, kBits>(range, kPart, units));
  if (kPart == 1.0f) return fit;
  // Groups of few different values can be exact only if their smallest and largest ones are.
  const Grid<Vec> whole = grid_over<Vec, kBits>(range, 1.0f, units);
  return better_of<Vec, kBits>(group, fit, with_offset<Vec, kBits>(whole, whole.offset));
}

/// The codes of up to 8 inputs from `first` on, as words.
template <class Vec, int kBits>
void round_block(const GroupWeights& group, int64_t first, const Rounding<Vec, kBits>& rounding,
                 uint32_t* words) {
  using Int = typename Vec::Int;
  constexpr int kPerWord = kBits == 8 ? 4 : 8;
  Int word[8 / kPerWord];
  for (Int& each : word) each = Int::set1(0);
  // From the last input to the first: each shift makes room below.
  for (int i = 7; i >= 0; --i) {
    Int& to = word[i / kPerWord];
    to = shift_left<kBits>(to);
    if (first + i >= group.count) continue;
    const Vec w = Vec::load(group.weights + (first + i) * 16);
    to = to | (bits_of(rounding.code(w - rounding.offset)) & Int::set1((1 << kBits) - 1));
  }
  for (int i = 0; i < 8 / kPerWord; ++i) word[i].store(words + i * 16);
}

template <class Vec, int kBits>
void fit_group_of(const GroupWeights& group, const float* units, const FittedGroup& out) {
  const WeightRange<Vec> range = range_of<Vec>(group);
  const Grid<Vec> grid = fit_grid<Vec, kBits>(group, range, units);
  if constexpr (has_coded_scales(kBits)) {
    grid.scale_code.store(out.scales);
    grid.zero_code.store(out.offsets);
  } else {
    grid.scale.store(out.scales);
    (grid.offset + range.poison).store(out.offsets);
  }
  const Rounding<Vec, kBits> rounding(grid);
  constexpr int kWords = kBits == 8 ? 2 : 1;
  for (int64_t first = 0; first < group.count; first += kCodesPerBlock) {
    round_block(group, first, rounding, out.words + first / kCodesPerBlock * kWords * 16);
  }
}

/// See CpuKernels::fit_group.
template <class Vec>
void fit_group(const GroupWeights& group, int bits, const float* units, const FittedGroup& out) {
  switch (bits) {
    case 8:
      return fit_group_of<Vec, 8>(group, units, out);
    case 4:
      return fit_group_of<Vec, 4>(group, units, out);
    case 3:
      return fit_group_of<Vec, 3>(group, units, out);
    default:
      return fit_group_of<Vec, 2>(group, units, out);
  }
}

/// See CpuKernels::group_scales.
template <class Vec>
void group_scales(const GroupWeights& group, int bits, float* scales) {
  const WeightRange<Vec> range = range_of<Vec>(group);
  const Vec width = max(range.high, Vec::zero()) - min(range.low, Vec::zero());
  (width / Vec::set1(static_cast<float>((1 << bits) - 1)) + range.poison).store(scales);
}

/// Widens `count` elements of memory of any alignment.
template <class Vec>
void widen(const void* from, DType dtype, int64_t count, float* to) {
  const int64_t bytes = dtype == DType::kF32 ? 4 : 2;
  alignas(64) char part[64] = {};
  for (int64_t first = 0; first < count; first += 16) {
    const int64_t lanes = count - first < 16 ? count - first : 16;
    const char* at = static_cast<const char*>(from) + first * bytes;
    if (lanes == 16) {
      __builtin_memcpy(part, at, static_cast<size_t>(16 * bytes));
    } else {
      __builtin_memcpy(part, at, static_cast<size_t>(lanes * bytes));
    }
    const auto* halves = reinterpret_cast<const uint16_t*>(part);
    const Vec wide = dtype == DType::kF16    ? Vec::load_f16(halves)
                     : dtype == DType::kBF16 ? Vec::load_bf16(halves)
                                             : Vec::load(reinterpret_cast<const float*>(part));
    wide.store_partial(to + first, static_cast<int>(lanes));
  }
}

}  // namespace switchyard::cpu
