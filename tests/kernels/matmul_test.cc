#include "kernels/cpu/matmul_driver.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/kernels/cpu_variants.h"

namespace switchyard {
namespace {

struct Case {
  DType dtype;
  int64_t m, n, k;
};

/// The definition: one chain of fused multiply-adds per output, k ascending, from 0.
std::vector<float> chains(const std::vector<float>& x, const std::vector<float>& w, int64_t m,
                          int64_t n, int64_t k) {
  std::vector<float> out(static_cast<size_t>(m * n));
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t col = 0; col < n; ++col) {
      float sum = 0.0f;
      for (int64_t i = 0; i < k; ++i) {
        sum =
            std::fma(x[static_cast<size_t>(row * k + i)], w[static_cast<size_t>(col * k + i)], sum);
      }
      out[static_cast<size_t>(row * n + col)] = sum;
    }
  }
  return out;
}

/// matmul() without bias, activation and residual; the output begins as NaN.
std::vector<float> run(InstructionSet set, int threads, const std::vector<float>& x, int64_t m,
                       const TestWeight& w) {
  ThreadPool pool(threads);
  cpu::MatmulScratch scratch(threads);
  std::vector<float> out(static_cast<size_t>(m * w.spec.rows), std::nanf(""));
  cpu::matmul(cpu_kernels(set), pool, scratch,
              {.x = x.data(), .num_rows = m, .w = w.weight(), .out = out.data()});
  return out;
}

class MatmulTest : public testing::TestWithParam<DType> {};

TEST_P(MatmulTest, EveryShapeGivesTheDefinedChains) {
  const std::vector<float> all_x = random_numbers(40 * 37, 1);
  for (const int64_t n : {1, 31, 33, 97}) {
    for (const int64_t k : {1, 15, 30, 37}) {
      const TestWeight w(GetParam(), n, k, random_numbers(n * k, 2));
      const std::vector<float> expected = chains(all_x, w.widened, 40, n, k);
      for (int64_t m = 1; m <= 40; ++m) {
        const std::vector<float> part(expected.begin(), expected.begin() + m * n);
        for (const InstructionSet set : supported_sets()) {
          // Two portable tiles and a row show every case of that slow code.
          if (set == InstructionSet::kPortable && m > 13 && m < 40) continue;
          ASSERT_EQ(bits_of(run(set, 1, all_x, m, w)), bits_of(part))
              << name_of(set) << " m " << m << " n " << n << " k " << k;
        }
      }
    }
  }
}

TEST_P(MatmulTest, CutsOfDepthRowsAndTasksChangeNothing) {
  // k spans three passes, m several blocks of rows, n many tasks and an odd last panel.
  const Case c{GetParam(), 411, 259, 601};
  const std::vector<float> x = random_numbers(c.m * c.k, 3);
  const TestWeight w(c.dtype, c.n, c.k, random_numbers(c.n * c.k, 4));
  const std::vector<float> expected = run(best_instruction_set(), 1, x, c.m, w);
  const std::vector<float> plain =
      chains({x.begin(), x.begin() + 13 * c.k}, w.widened, 13, c.n, c.k);
  ASSERT_EQ(bits_of({expected.begin(), expected.begin() + 13 * c.n}), bits_of(plain));
  for (const int threads : {2, 3}) {
    EXPECT_EQ(bits_of(run(best_instruction_set(), threads, x, c.m, w)), bits_of(expected));
  }
  for (const int64_t m : {1, 2, 5, 8, 13}) {
    for (const int64_t first : {int64_t{0}, int64_t{100}, c.m - m}) {
      const std::vector<float> rows(x.begin() + first * c.k, x.begin() + (first + m) * c.k);
      const std::vector<float> alone = run(best_instruction_set(), 2, rows, m, w);
      const std::vector<float> together(expected.begin() + first * c.n,
                                        expected.begin() + (first + m) * c.n);
      ASSERT_EQ(bits_of(alone), bits_of(together)) << m << " rows from " << first;
    }
  }
}

TEST_P(MatmulTest, InstructionSetsAgreeOnLargeMatrices) {
  const int64_t m = 15, n = 65, k = 600;
  const std::vector<float> x = random_numbers(m * k, 5);
  const TestWeight w(GetParam(), n, k, random_numbers(n * k, 6));
  const std::vector<float> expected = run(InstructionSet::kPortable, 2, x, m, w);
  for (const InstructionSet set : supported_sets()) {
    EXPECT_EQ(bits_of(run(set, 2, x, m, w)), bits_of(expected)) << name_of(set);
  }
}

TEST_P(MatmulTest, InfinityAndNanReachExactlyTheirOutputs) {
  const int64_t m = 14, n = 35, k = 20;
  std::vector<float> x = random_numbers(m * k, 7);
  std::vector<float> numbers = random_numbers(n * k, 8);
  x[5 * k + 3] = std::numeric_limits<float>::infinity();
  numbers[33 * k + 19] = std::nanf("");
  const TestWeight w(GetParam(), n, k, numbers);
  for (const InstructionSet set : supported_sets()) {
    const std::vector<float> out = run(set, 1, x, m, w);
    for (int64_t row = 0; row < m; ++row) {
      for (int64_t col = 0; col < n; ++col) {
        const float y = out[static_cast<size_t>(row * n + col)];
        EXPECT_EQ(std::isnan(y), col == 33) << row << " " << col;
        EXPECT_EQ(std::isinf(y), row == 5 && col != 33) << row << " " << col;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MatmulTest, testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& each) { return std::string(name_of(each.param)); });

/// Bias, activation and residual, for a tile, a row and a block of many tiles.
class MatmulFinishTest : public testing::TestWithParam<int64_t> {};

TEST_P(MatmulFinishTest, AddsBiasActivatesAndAddsResidualInThisOrder) {
  const int64_t m = GetParam(), n = 45, k = 9;
  const std::vector<float> x = random_numbers(m * k, 9);
  const std::vector<float> bias = random_numbers(n, 10);
  const std::vector<float> residual = random_numbers(m * n, 11);
  const TestWeight w(DType::kF16, n, k, random_numbers(n * k, 12));
  std::vector<float> expected = chains(x, w.widened, m, n, k);
  for (size_t i = 0; i < expected.size(); ++i) {
    const float biased = expected[i] + bias[i % static_cast<size_t>(n)];
    expected[i] = (biased > 0.0f ? biased : 0.0f) + residual[i];
  }
  for (const InstructionSet set : supported_sets()) {
    ThreadPool pool(2);
    cpu::MatmulScratch scratch(2);
    std::vector<float> out = residual;  // in place
    cpu::matmul(cpu_kernels(set), pool, scratch,
                {.x = x.data(),
                 .num_rows = m,
                 .w = w.weight(),
                 .bias = bias.data(),
                 .activation = Activation::kRelu,
                 .residual = out.data(),
                 .out = out.data()});
    EXPECT_EQ(bits_of(out), bits_of(expected)) << name_of(set);
  }
}

TEST_P(MatmulFinishTest, GeluIsCloseToTheExactFunctionAndEqualOnAllSets) {
  const int64_t m = GetParam(), n = 45, k = 9;
  const std::vector<float> x = random_numbers(m * k, 13);
  const TestWeight w(DType::kBF16, n, k, random_numbers(n * k, 14));
  const std::vector<float> sums = chains(x, w.widened, m, n, k);
  std::vector<float> first;
  for (const InstructionSet set : supported_sets()) {
    ThreadPool pool(1);
    cpu::MatmulScratch scratch(1);
    std::vector<float> out(sums.size());
    cpu::matmul(cpu_kernels(set), pool, scratch,
                {.x = x.data(),
                 .num_rows = m,
                 .w = w.weight(),
                 .activation = Activation::kGelu,
                 .out = out.data()});
    for (size_t i = 0; i < sums.size(); ++i) {
      const double y = sums[i];
      const double gelu = 0.5 * y * (1.0 + std::erf(y / std::sqrt(2.0)));
      ASSERT_NEAR(out[i], gelu, 3e-7 * std::max(1.0, std::fabs(y)));
    }
    if (first.empty()) first = out;
    EXPECT_EQ(bits_of(out), bits_of(first)) << name_of(set);
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, MatmulFinishTest, testing::Values(1, 7, 12, 50));

TEST(Matmul, ScalesBetweenActivationAndResidual) {
  for (const int64_t m : {1, 12, 50}) {
    const int64_t n = 45, k = 9;
    const std::vector<float> x = random_numbers(m * k, 17);
    const std::vector<float> bias = random_numbers(n, 18);
    const std::vector<float> residual = random_numbers(m * n, 19);
    const TestWeight w(DType::kF32, n, k, random_numbers(n * k, 20));
    std::vector<float> expected = chains(x, w.widened, m, n, k);
    for (size_t i = 0; i < expected.size(); ++i) {
      const float biased = expected[i] + bias[i % static_cast<size_t>(n)];
      const float scaled = (biased > 0.0f ? biased : 0.0f) * 0.22f;
      expected[i] = scaled + residual[i];
    }
    for (const InstructionSet set : supported_sets()) {
      ThreadPool pool(1);
      cpu::MatmulScratch scratch(1);
      std::vector<float> out(expected.size());
      cpu::matmul(cpu_kernels(set), pool, scratch,
                  {.x = x.data(),
                   .num_rows = m,
                   .w = w.weight(),
                   .bias = bias.data(),
                   .activation = Activation::kRelu,
                   .residual = residual.data(),
                   .out = out.data(),
                   .scale = 0.22f});
      EXPECT_EQ(bits_of(out), bits_of(expected)) << name_of(set) << " m " << m;
    }
  }
}

TEST(Matmul, RowsMayLieApart) {
  const int64_t n = 35, k = 21, stride = 50;
  const TestWeight w(DType::kBF16, n, k, random_numbers(n * k, 21));
  for (const int64_t m : {1, 5, 13, 400}) {
    const std::vector<float> apart = random_numbers(m * stride, 22);
    std::vector<float> together;
    for (int64_t row = 0; row < m; ++row) {
      together.insert(together.end(), apart.begin() + row * stride,
                      apart.begin() + row * stride + k);
    }
    for (const InstructionSet set : supported_sets()) {
      ThreadPool pool(2);
      cpu::MatmulScratch scratch(2);
      std::vector<float> out(static_cast<size_t>(m * n));
      cpu::matmul(cpu_kernels(set), pool, scratch,
                  {.x = apart.data(),
                   .x_stride = stride,
                   .num_rows = m,
                   .w = w.weight(),
                   .out = out.data()});
      EXPECT_EQ(bits_of(out), bits_of(run(set, 1, together, m, w))) << name_of(set) << " m " << m;
    }
  }
}

TEST(Matmul, NanPassesThroughRelu) {
  const TestWeight w(DType::kF32, 1, 1, {1.0f});
  ThreadPool pool(1);
  cpu::MatmulScratch scratch(1);
  const float x = std::nanf("");
  float out = 0.0f;
  cpu::matmul(
      cpu_kernels(InstructionSet::kAuto), pool, scratch,
      {.x = &x, .num_rows = 1, .w = w.weight(), .activation = Activation::kRelu, .out = &out});
  EXPECT_TRUE(std::isnan(out));
}

TEST(Matmul, NoRowsTouchNothing) {
  const TestWeight w(DType::kF32, 3, 2, random_numbers(6, 1));
  ThreadPool pool(2);
  cpu::MatmulScratch scratch(2);
  cpu::matmul(cpu_kernels(InstructionSet::kAuto), pool, scratch, {.w = w.weight()});
}

TEST(Matmul, ScratchGrowsForVeryLongRows) {
  // Two rows of 140,000 inputs take 1.07 MiB packed: more than one thread's scratch.
  const int64_t k = 140000;
  const std::vector<float> x = random_numbers(2 * k, 15);
  const TestWeight w(DType::kF32, 3, k, random_numbers(3 * k, 16));
  EXPECT_EQ(bits_of(run(InstructionSet::kAuto, 1, x, 2, w)),
            bits_of(chains(x, w.widened, 2, 3, k)));
}

}  // namespace
}  // namespace switchyard
