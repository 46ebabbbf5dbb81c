#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/base/exact_math.h"
#include "tests/kernels/probe_variants.h"

namespace switchyard {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Numbers of fp32 in units in the last place of `exact` between `got` and `exact`.
double ulps(float got, double exact) {
  const int exponent = exact == 0.0 ? -126 : std::max(std::ilogb(exact), -126);
  return std::fabs(static_cast<double>(got) - exact) / std::ldexp(1.0, exponent - 23);
}

const LaneFunction& math_function(const SimdProbe& probe, const std::string& name) {
  for (int i = 0; i < probe.num_math; ++i) {
    if (name == probe.math[i].name) return probe.math[i];
  }
  ADD_FAILURE() << "no function " << name;
  return probe.math[0];
}

/// The function of every number; a multiple of 16 of them.
std::vector<float> apply(InstructionSet set, const std::string& name, const std::vector<float>& x) {
  const LaneFunction& function = math_function(probe_of(set), name);
  std::vector<float> out(x.size());
  for (size_t i = 0; i < x.size(); i += 16) function.run(&x[i], &x[i], &x[i], &out[i]);
  return out;
}

float apply_one(InstructionSet set, const std::string& name, float x) {
  return apply(set, name, std::vector<float>(16, x))[3];
}

/// Every `step`th bit pattern, all exponents and both signs.
std::vector<float> all_exponents(uint32_t step) {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += step) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  x.resize((x.size() + 15) / 16 * 16, 1.0f);
  return x;
}

/// Evenly spaced numbers.
std::vector<float> spaced(float from, float to, int count) {
  std::vector<float> x;
  for (int i = 0; i < count; ++i) {
    x.push_back(from + (to - from) * static_cast<float>(i) / static_cast<float>(count - 1));
  }
  x.resize((x.size() + 15) / 16 * 16, to);
  return x;
}

struct Function {
  const char* name;
  double (*exact)(double);
  double max_ulps;        // as stated in math.h
  float from, to;         // where it does most of its work
  double smallest = 0.0;  // results below it may be 0
};

double exact_sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double exact_silu(double x) { return x == -INFINITY ? -0.0 : x * exact_sigmoid(x); }

constexpr Function kFunctions[] = {
    {"exp", &std::exp, 0.91, -88.0f, 89.0f, 0x1p-126},
    {"log", &std::log, 0.83, 0.25f, 4.0f},
    {"erf", &std::erf, 1.03, -4.5f, 4.5f},
    {"tanh", &std::tanh, 1.37, -10.0f, 10.0f},
    {"sigmoid", &exact_sigmoid, 2.48, -30.0f, 30.0f, 0x1p-126},
    {"silu", &exact_silu, 2.40, -30.0f, 30.0f, 3e-37},
};

class MathTest : public testing::TestWithParam<Function> {};

TEST_P(MathTest, StaysWithinItsError) {
  for (const auto& x : {all_exponents(50021), spaced(GetParam().from, GetParam().to, 100000)}) {
    const std::vector<float> got = apply(best_instruction_set(), GetParam().name, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = GetParam().exact(x[i]);
      if (std::isnan(exact)) {
        ASSERT_TRUE(std::isnan(got[i])) << x[i];
        continue;
      }
      // exp flushes what would be subnormal, and so what is divided by its largest results.
      if (std::fabs(exact) < GetParam().smallest) {
        ASSERT_LE(std::fabs(got[i]), GetParam().smallest) << x[i];
        continue;
      }
      const float rounded = static_cast<float>(exact);
      if (std::isinf(rounded)) {
        ASSERT_EQ(got[i], rounded) << x[i];
        continue;
      }
      ASSERT_LE(ulps(got[i], exact), GetParam().max_ulps) << GetParam().name << " of " << x[i];
    }
  }
}

TEST_P(MathTest, GivesTheSameBitsOnEverySet) {
  for (const auto& x : {all_exponents(400009), spaced(GetParam().from, GetParam().to, 20000)}) {
    const std::vector<float> expected = apply(InstructionSet::kPortable, GetParam().name, x);
    for (const InstructionSet set : supported_sets()) {
      const std::vector<float> got = apply(set, GetParam().name, x);
      for (size_t i = 0; i < x.size(); ++i) {
        const bool both_nan = std::isnan(got[i]) && std::isnan(expected[i]);
        ASSERT_TRUE(both_nan ||
                    std::bit_cast<uint32_t>(got[i]) == std::bit_cast<uint32_t>(expected[i]))
            << name_of(set) << " " << GetParam().name << " of " << x[i];
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Functions, MathTest, testing::ValuesIn(kFunctions),
                         [](const auto& each) { return std::string(each.param.name); });

struct Exact {
  const char* name;
  float x, y;
};

TEST(Math, SpecialValuesAreExact) {
  const Exact cases[] = {
      {"exp", 0.0f, 1.0f},
      {"exp", -0.0f, 1.0f},
      {"exp", kInfinity, kInfinity},
      {"exp", -kInfinity, 0.0f},
      {"exp", 0x1.62e43p+6f, kInfinity},  // the next number above ln FLT_MAX
      {"exp", -0x1.5d58ap+6f, 0.0f},      // the next number below ln 2^-126
      {"exp", 0x1p-149f, 1.0f},
      {"log", 1.0f, 0.0f},
      {"log", 0.0f, -kInfinity},
      {"log", -0.0f, -kInfinity},
      {"log", kInfinity, kInfinity},
      {"erf", 0.0f, 0.0f},
      {"erf", -0.0f, -0.0f},
      {"erf", kInfinity, 1.0f},
      {"erf", -kInfinity, -1.0f},
      {"erf", -5.0f, -1.0f},
      {"tanh", 0.0f, 0.0f},
      {"tanh", -0.0f, -0.0f},
      {"tanh", kInfinity, 1.0f},
      {"tanh", -kInfinity, -1.0f},
      {"tanh", 50.0f, 1.0f},
      {"gelu", 0.0f, 0.0f},
      {"gelu", kInfinity, kInfinity},
      {"gelu", 10.0f, 10.0f},
      {"gelu", -10.0f, -0.0f},
      {"gelu_tanh", 0.0f, 0.0f},
      {"gelu_tanh", kInfinity, kInfinity},
      {"gelu_tanh", 10.0f, 10.0f},
      {"gelu_tanh", -10.0f, -0.0f},
      {"gelu_tanh", -kInfinity, -0.0f},
      {"sigmoid", 0.0f, 0.5f},
      {"sigmoid", kInfinity, 1.0f},
      {"sigmoid", -kInfinity, 0.0f},
      {"sigmoid", -89.0f, 0.0f},
      {"silu", 0.0f, 0.0f},
      {"silu", -0.0f, -0.0f},
      {"silu", kInfinity, kInfinity},
      {"silu", 100.0f, 100.0f},
      {"silu", -100.0f, -0.0f},
      {"silu", -0x1.fffffep+127f, -0.0f},
      {"silu", -kInfinity, -0.0f},
  };
  for (const InstructionSet set : supported_sets()) {
    for (const Exact& c : cases) {
      const float got = apply_one(set, c.name, c.x);
      EXPECT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(c.y))
          << name_of(set) << " " << c.name << "(" << c.x << ") = " << got;
    }
    for (const char* name : {"exp", "log", "erf", "tanh", "gelu", "gelu_tanh", "sigmoid", "silu"}) {
      EXPECT_TRUE(std::isnan(apply_one(set, name, std::nanf("")))) << name;
    }
    EXPECT_TRUE(std::isnan(apply_one(set, "log", -1.0f)));
    EXPECT_TRUE(std::isnan(apply_one(set, "log", -0x1p-140f)));
    EXPECT_TRUE(std::isnan(apply_one(set, "log", -kInfinity)));
  }
}

TEST(Math, ExpKeepsTheWholeNormalRange) {
  for (const InstructionSet set : supported_sets()) {
    const float largest = apply_one(set, "exp", 0x1.62e42ep+6f);
    EXPECT_LE(ulps(largest, std::exp(static_cast<double>(0x1.62e42ep+6f))), 1.0);
    const float smallest = apply_one(set, "exp", -0x1.5d589ep+6f);
    EXPECT_LE(ulps(smallest, std::exp(static_cast<double>(-0x1.5d589ep+6f))), 1.0);
    EXPECT_GE(smallest, 0x1p-126f);
  }
}

TEST(Math, GeluIsCloseToTheExactFunction) {
  const std::vector<float> x = spaced(-12.0f, 12.0f, 200000);
  const std::vector<float> got = apply(best_instruction_set(), "gelu", x);
  for (size_t i = 0; i < x.size(); ++i) {
    const double y = x[i];
    const double exact = 0.5 * y * (1.0 + std::erf(y / std::sqrt(2.0)));
    ASSERT_NEAR(got[i], exact, 1.2e-7 * std::max(1.0, std::fabs(y))) << y;
  }
}

TEST(Math, GeluByTanhIsCloseToItsFormula) {
  const std::vector<float> x = spaced(-12.0f, 12.0f, 200000);
  const std::vector<float> got = apply(best_instruction_set(), "gelu_tanh", x);
  for (size_t i = 0; i < x.size(); ++i) {
    const double y = x[i];
    const double inner = std::sqrt(2.0 / M_PI) * (y + 0.044715 * y * y * y);
    ASSERT_NEAR(got[i], 0.5 * y * (1.0 + std::tanh(inner)), 1.3e-7 * std::max(1.0, std::fabs(y)))
        << y;
  }
}

/// Whether both round to the same fp32 number.
void expect_same_float(double got, double exact, double x) {
  EXPECT_EQ(static_cast<float>(got), static_cast<float>(exact)) << x;
}

TEST(ExactMath, RoundsToTheCorrectFloat) {
  for (int i = 0; i <= 40000; ++i) {
    const double x = i * (i % 2 == 0 ? 1.0 : -1.0) * 0.00217;
    expect_same_float(exp_double(x), std::exp(x), x);
    for (const double angle : {x, x * 1155.7}) {
      const double rounded = static_cast<float>(angle);
      expect_same_float(sin_double(rounded), std::sin(rounded), rounded);
      expect_same_float(cos_double(rounded), std::cos(rounded), rounded);
    }
  }
}

TEST(ExactMath, StaysNearDoublePrecision) {
  for (int i = 1; i <= 20000; ++i) {
    const double x = (i % 2 == 0 ? 1 : -1) * i * 0.0353;
    EXPECT_NEAR(exp_double(x) / std::exp(x), 1.0, 1e-15) << x;
    EXPECT_NEAR(sin_double(x), std::sin(x), 1e-15) << x;
    EXPECT_NEAR(cos_double(x), std::cos(x), 1e-15) << x;
    const double far = 1e5 * x;
    EXPECT_NEAR(sin_double(far), std::sin(far), 1e-15) << far;
    EXPECT_NEAR(cos_double(far), std::cos(far), 1e-15) << far;
  }
}

TEST(ExactMath, SpecialValuesAreExact) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(exp_double(0.0), 1.0);
  EXPECT_EQ(exp_double(-infinity), 0.0);
  EXPECT_EQ(exp_double(infinity), infinity);
  EXPECT_EQ(exp_double(710.0), infinity);
  EXPECT_EQ(exp_double(-745.0), 0.0);
  EXPECT_NEAR(exp_double(709.7) / std::exp(709.7), 1.0, 1e-15);
  EXPECT_NEAR(exp_double(-708.3) / std::exp(-708.3), 1.0, 1e-15);
  EXPECT_TRUE(std::isnan(exp_double(std::nan(""))));
  EXPECT_EQ(sin_double(0.0), 0.0);
  EXPECT_TRUE(std::signbit(sin_double(-0.0)));
  EXPECT_EQ(cos_double(0.0), 1.0);
  EXPECT_TRUE(std::isnan(sin_double(infinity)));
  EXPECT_TRUE(std::isnan(cos_double(std::nan(""))));
  EXPECT_TRUE(std::isnan(sin_double(0x1p41)));
}

}  // namespace
}  // namespace switchyard
