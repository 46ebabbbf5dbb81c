#include "kernels/cpu/quantize.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <random>
#include <string>

#include "tests/kernels/quantized_case.h"

namespace switchyard {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

WeightSpec spec_of(GroupQuantization quantization, int64_t rows, int64_t cols,
                   DType dtype = DType::kF32) {
  return {dtype, rows, cols, quantization};
}

std::vector<float> elements_of(GroupQuantization quantization, int64_t rows,
                               const std::vector<float>& numbers) {
  const int64_t cols = static_cast<int64_t>(numbers.size()) / rows;
  return QuantizedWeight(spec_of(quantization, rows, cols), numbers).elements();
}

/// Student's t distribution with 3 degrees of freedom: outliers as trained matrices have.
std::vector<float> heavy_tailed(int64_t count, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::student_t_distribution<float> student(3.0f);
  std::vector<float> numbers(static_cast<size_t>(count));
  for (float& x : numbers) x = student(random) * deviation;
  return numbers;
}

double mean_error(const std::vector<float>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

/// Codes and zeros of plain HQQ in double precision: no rounding of what is stored, and all groups
/// of the matrix end together.
class PlainHqq {
 public:
  PlainHqq(const std::vector<float>& w, int bits, size_t group)
      : w_(w), group_(group), largest_((1 << bits) - 1), scale_(w.size() / group), zero_(scale_) {
    for (size_t g = 0; g < scale_.size(); ++g) {
      const auto begin = w.begin() + static_cast<int64_t>(g * group);
      const auto [low, high] = std::minmax_element(begin, begin + static_cast<int64_t>(group));
      scale_[g] = largest_ / (static_cast<double>(*high) - *low);
      zero_[g] = -*low * scale_[g];
    }
  }

  std::vector<double> fit() {
    double beta = 10.0, best = 1e300;
    for (int i = 0; i < 20; ++i, beta *= 1.01) {
      const double error = mean_error(w_, elements());
      for (size_t g = 0; g < scale_.size(); ++g) move(g, beta);
      if (error >= best) break;
      best = error;
    }
    return elements();
  }

 private:
  double code(size_t i) const {
    const size_t g = i / group_;
    return std::clamp(std::nearbyint(w_[i] * scale_[g] + zero_[g]), 0.0, largest_);
  }
  double element(size_t i) const { return (code(i) - zero_[i / group_]) / scale_[i / group_]; }
  std::vector<double> elements() const {
    std::vector<double> out(w_.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = element(i);
    return out;
  }
  void move(size_t g, double beta) {
    double sum = 0.0;
    for (size_t i = g * group_; i < (g + 1) * group_; ++i) {
      const double error = w_[i] - element(i);
      const double size = std::max(std::fabs(error), 1e-30);
      const double kept = std::copysign(std::max(size - std::pow(size, -0.3) / beta, 0.0), error);
      sum += code(i) - (w_[i] - kept) * scale_[g];
    }
    zero_[g] = sum / static_cast<double>(group_);
  }

  const std::vector<float>& w_;
  size_t group_;
  double largest_;
  std::vector<double> scale_;
  std::vector<double> zero_;
};

TEST(Quantize, ErrsHardlyMoreThanPlainHqq) {
  const int64_t rows = 48, cols = 768;
  // Also in sizes where the errors of HQQ's shrinkage are not all zero.
  for (const float deviation : {0.02f, 1.0f}) {
    for (const auto& w :
         {random_numbers(rows * cols, 1, deviation), heavy_tailed(rows * cols, 2, deviation)}) {
      for (const GroupQuantization& q : default_quantizations()) {
        const std::vector<double> plain = PlainHqq(w, q.bits, static_cast<size_t>(q.group)).fit();
        const std::vector<float> ours = elements_of(q, rows, w);
        EXPECT_LE(mean_error(w, {ours.begin(), ours.end()}), 1.01 * mean_error(w, plain))
            << q.bits << " bits, deviation " << deviation;
      }
    }
  }
}

TEST(Quantize, EveryBitHalvesTheError) {
  const std::vector<float> w = random_numbers(32 * 512, 3, 0.05f);
  double last = 1.0;
  for (const int bits : {2, 3, 4, 8}) {
    const std::vector<float> ours = elements_of({bits, 64}, 32, w);
    const double error = mean_error(w, {ours.begin(), ours.end()});
    EXPECT_LT(error, 0.62 * last) << bits;
    last = error;
  }
}

TEST(Quantize, InstructionSetsAndThreadsGiveTheSameBytes) {
  const int64_t rows = 75, cols = 200;
  for (const auto& w :
       {random_numbers(rows * cols, 4, 0.02f), heavy_tailed(rows * cols, 5, 3.0f)}) {
    for (const int bits : {8, 4, 3, 2}) {
      for (const int64_t group : {8, 24, 64, 512}) {
        const WeightSpec spec = spec_of({bits, group}, rows, cols);
        const std::vector<char> expected =
            QuantizedWeight(spec, w, InstructionSet::kPortable, 1).bytes();
        for (const InstructionSet set : supported_sets()) {
          for (const int threads : {1, 3}) {
            EXPECT_EQ(QuantizedWeight(spec, w, set, threads).bytes(), expected)
                << name_of(set) << " " << bits << " bits, group " << group;
          }
        }
      }
    }
  }
}

TEST(Quantize, PiecesInAnyOrderAndAlignmentGiveTheSameBytes) {
  const int64_t rows = 97, cols = 40;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int bits : {8, 4, 3, 2}) {
      const WeightSpec spec = spec_of({bits, 24}, rows, cols, dtype);
      const QuantizedWeight whole(spec, random_numbers(rows * cols, 6));
      const AlignedBuffer pieces(whole.packed.bytes());
      std::memset(pieces.data(), 0x55, static_cast<size_t>(pieces.bytes()));
      const int64_t row_bytes = cols * size_of(dtype);
      std::vector<char> shifted(static_cast<size_t>(rows * row_bytes + 1));
      ThreadPool pool(2);
      for (const auto& [first, count] :
           {std::pair<int64_t, int64_t>{60, 37}, {0, 1}, {1, 30}, {31, 2}, {33, 27}}) {
        char* const odd = shifted.data() + 1;
        std::memcpy(odd, &whole.source[static_cast<size_t>(first * row_bytes)],
                    static_cast<size_t>(count * row_bytes));
        cpu::quantize_rows(cpu_kernels(InstructionSet::kAuto), pool, odd, first, count,
                           {spec, pieces.data()});
      }
      EXPECT_EQ(
          std::memcmp(pieces.data(), whole.packed.data(), static_cast<size_t>(pieces.bytes())), 0)
          << bits << " bits of " << name_of(dtype);
    }
  }
}

TEST(Quantize, EveryTypeIsQuantisedAsItsNumbersInFp32) {
  const std::vector<float> w = random_numbers(33 * 100, 7, 0.02f);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    for (const GroupQuantization& q : default_quantizations()) {
      const QuantizedWeight ours(spec_of(q, 33, 100, dtype), w);
      std::vector<float> widened(w.size());
      convert_elements(dtype, ours.source.data(), DType::kF32, widened.data(), 33 * 100);
      EXPECT_EQ(ours.bytes(), QuantizedWeight(spec_of(q, 33, 100), widened).bytes());
    }
  }
}

TEST(Quantize, RowsDoNotDependOnTheirNeighbours) {
  const int64_t rows = 32, cols = 96;
  std::vector<float> w = random_numbers(rows * cols, 8);
  for (const GroupQuantization& q : default_quantizations()) {
    const std::vector<float> before = elements_of(q, rows, w);
    std::vector<float> changed = heavy_tailed(rows * cols, 9, 100.0f);
    std::copy_n(w.begin() + 5 * cols, cols, changed.begin() + 5 * cols);
    const std::vector<float> after = elements_of(q, rows, changed);
    const auto row_of = [&](const std::vector<float>& all) {
      return std::vector<float>(all.begin() + 5 * cols, all.begin() + 6 * cols);
    };
    EXPECT_EQ(bits_of(row_of(before)), bits_of(row_of(after))) << q.bits << " bits";
  }
}

TEST(Quantize, ConstantGroupsComeOutAsTheyAre) {
  for (const float value : {0.0f, 1.0f, -0.37f, 1e-4f, 65504.0f}) {
    const std::vector<float> w(4 * 80, value);
    for (const GroupQuantization& q : default_quantizations()) {
      for (const float x : elements_of(q, 4, w)) {
        const float room = q.bits >= 4 ? 0.0f : 1e-5f * std::fabs(value);
        EXPECT_NEAR(x, value, room) << q.bits << " bits";
      }
    }
  }
}

TEST(Quantize, ExtremeGroupsStayFiniteAndInTheirRange) {
  const float largest = std::numeric_limits<float>::max();
  const float tiny = std::numeric_limits<float>::denorm_min();
  const std::vector<std::vector<float>> groups = {
      {1000.0f, 1000.001f, 1000.002f, 1000.0005f, 1000.0f, 1000.001f, 1000.0f, 1000.002f},
      {-5.0f, -4.0f, -4.5f, -4.2f, -4.9f, -5.0f, -4.0f, -4.4f},
      {tiny, -tiny, 3 * tiny, 0.0f, tiny, tiny, -2 * tiny, 0.0f},
      {1e-38f, -1e-38f, 5e-39f, 0.0f, 1e-38f, 1e-39f, -1e-38f, 2e-38f},
      {1e-30f, -1e-30f, 5e-31f, 0.0f, 1e-30f, 1e-31f, -1e-30f, 2e-30f},
      {largest, -largest, 0.0f, 1.0f, largest, -largest, 0.5f * largest, 0.0f},
      {largest, largest, largest, largest, largest, largest, largest, largest},
      {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 1e30f},
  };
  for (const auto& w : groups) {
    const auto [low, high] = std::minmax_element(w.begin(), w.end());
    const double span = std::max(0.0f, *high) - std::min<double>(0.0f, *low);
    for (const int bits : {8, 4, 3, 2}) {
      for (const float x : elements_of({bits, 8}, 1, w)) {
        ASSERT_TRUE(std::isfinite(x)) << bits << " bits of " << w[0];
        EXPECT_GE(x, std::min(0.0, *low - span)) << bits << " bits of " << w[0];
        EXPECT_LE(x, std::max(0.0, *high + span)) << bits << " bits of " << w[0];
      }
    }
  }
}

TEST(Quantize, WeightsFarFromZeroKeepTheirDifferences) {
  std::vector<float> w = random_numbers(64, 10, 0.001f);
  for (float& x : w) x += 5.0f;
  for (const int bits : {8, 4}) {
    const std::vector<float> ours = elements_of({bits, 64}, 1, w);
    EXPECT_LT(mean_error(w, {ours.begin(), ours.end()}), 0.006 / ((1 << bits) - 1) / 2);
  }
}

TEST(Quantize, ARowsOutlierLeavesItsOtherGroupsUsable) {
  std::vector<float> w = random_numbers(512, 11, 0.02f);
  w[40] = 5.0f;  // 250 times the deviation
  for (const GroupQuantization& q : default_quantizations()) {
    const std::vector<float> with = elements_of(q, 1, w);
    const std::vector<float> clean(w.begin() + 256, w.end());
    const std::vector<float> without = elements_of(q, 1, clean);
    EXPECT_LT(mean_error(clean, {with.begin() + 256, with.end()}),
              1.05 * mean_error(clean, {without.begin(), without.end()}))
        << q.bits << " bits";
  }
}

TEST(Quantize, WhatIsNotFiniteStaysSo) {
  for (const float wrong : {kInfinity, -kInfinity, std::nanf("")}) {
    for (const GroupQuantization& q : default_quantizations()) {
      const int64_t rows = 20, cols = 300;
      std::vector<float> w = random_numbers(rows * cols, 12);
      w[7 * cols + 290] = wrong;  // in the last group
      w[9 * cols + 3] = wrong;    // and in the first
      const std::vector<float> ours = elements_of(q, rows, w);
      const auto is_finite = [&](int64_t row, int64_t col) {
        return std::isfinite(ours[static_cast<size_t>(row * cols + col)]);
      };
      for (int64_t row = 0; row < rows; ++row) {
        EXPECT_EQ(is_finite(row, 290), row != 7 && (row != 9 || q.bits >= 4))
            << q.bits << " bits of " << wrong << ", row " << row;
        EXPECT_EQ(is_finite(row, 3), row != 9 && (row != 7 || q.bits >= 4))
            << q.bits << " bits of " << wrong << ", row " << row;
      }
    }
  }
}

TEST(Quantize, BytesAreThoseOfCodesAndScales) {
  EXPECT_EQ(cpu::packed_bytes(spec_of({4, 64}, 32, 64)), 32 * 64 / 2 + 32 * 6);
  EXPECT_EQ(cpu::packed_bytes(spec_of({8, 128}, 33, 128)), 2 * (32 * 128 + 32 * 6));
  EXPECT_EQ(cpu::packed_bytes(spec_of({2, 16}, 1, 1)), 128 + 64 + 64);
  EXPECT_EQ(cpu::packed_bytes(spec_of({3, 8}, 1, 8)), 320);  // 288 and padding
  EXPECT_EQ(cpu::packed_bytes(spec_of({4, 64}, 0, 64)), 0);
  const WeightSpec expert = spec_of({4, 64}, 3072, 768, DType::kF16);
  EXPECT_LE(static_cast<double>(cpu::packed_bytes(expert)),
            0.32 * static_cast<double>(expert.source_bytes()));
}

TEST(Quantize, RefusesOtherFormsAndReadingRows) {
  EXPECT_THROW(cpu::packed_bytes(spec_of({5, 64}, 4, 64)), Error);
  EXPECT_THROW(cpu::packed_bytes(spec_of({4, 12}, 4, 64)), Error);
  EXPECT_THROW(cpu::packed_bytes(spec_of({4, 0}, 4, 64)), Error);
  EXPECT_THROW(cpu::packed_bytes(spec_of({4, 64}, 4, 64, DType::kU8)), Error);
  const QuantizedWeight w(spec_of({4, 64}, 4, 64), random_numbers(256, 13));
  std::vector<float> row(64);
  EXPECT_THROW(cpu::unpack_row(cpu_kernels(InstructionSet::kAuto), w.weight(), 0, row.data()),
               Error);
  EXPECT_THROW(cpu::pack_rows(w.source.data(), 0, 4, w.weight()), Error);
}

}  // namespace
}  // namespace switchyard
