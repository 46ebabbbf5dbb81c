#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "tests/kernels/probe_variants.h"

namespace switchyard {
namespace {

using Lanes = std::array<float, 16>;

/// Signs, zeros, subnormals, halves between integers, limits of int32, infinities and NaN.
std::vector<float> special_numbers() {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> numbers = {
      0.0f,       0x1p-149f, 0x1p-126f,      0.25f,   0.5f,    1.0f,  1.5f,     2.5f,         3.5f,
      8388607.5f, 1e9f,      0x1.fffffep30f, 0x1p31f, 0x1p32f, 3e38f, infinity, std::nanf("")};
  for (const float x : std::vector<float>(numbers)) numbers.push_back(-x);
  return numbers;
}

/// Operands: every pair of special numbers, then random bit patterns.
std::vector<std::array<Lanes, 3>> operands() {
  const std::vector<float> special = special_numbers();
  std::mt19937 random(1);
  std::vector<std::array<Lanes, 3>> list;
  for (const float a : special) {
    for (size_t first = 0; first < special.size(); first += 16) {
      std::array<Lanes, 3> triple;
      for (size_t i = 0; i < 16; ++i) {
        triple[0][i] = a;
        triple[1][i] = special[(first + i) % special.size()];
        triple[2][i] = special[random() % special.size()];
      }
      list.push_back(triple);
    }
  }
  std::normal_distribution<float> normal;
  for (int n = 0; n < 200; ++n) {
    std::array<Lanes, 3> triple;
    for (Lanes& lanes : triple) {
      for (float& x : lanes) {
        x = n % 2 == 0 ? normal(random) : std::bit_cast<float>(static_cast<uint32_t>(random()));
      }
    }
    list.push_back(triple);
  }
  return list;
}

/// Equal bits, or both NaN: which NaN an operation gives is left open.
bool same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

float from_int(int64_t x) { return std::bit_cast<float>(static_cast<int32_t>(x)); }
int32_t as_int(float x) { return std::bit_cast<int32_t>(x); }

/// THE lane tree, written as a recursion.
float tree(const Lanes& lanes, int first, int step,
           const std::function<float(float, float)>& join) {
  if (step == 16) return lanes[static_cast<size_t>(first)];
  return join(tree(lanes, first, 2 * step, join), tree(lanes, first + step, 2 * step, join));
}

using Reference = std::function<float(const Lanes& a, const Lanes& b, const Lanes& c, size_t i)>;

/// What each function means, in other words than the vector types'.
std::map<std::string, Reference> references() {
  const auto unary = [](auto f) {
    return Reference([f](const Lanes& a, const Lanes&, const Lanes&, size_t i) { return f(a[i]); });
  };
  const auto binary = [](auto f) {
    return Reference(
        [f](const Lanes& a, const Lanes& b, const Lanes&, size_t i) { return f(a[i], b[i]); });
  };
  const auto ternary = [](auto f) {
    return Reference([f](const Lanes& a, const Lanes& b, const Lanes& c, size_t i) {
      return f(a[i], b[i], c[i]);
    });
  };
  const auto truth = [](bool x) { return x ? 1.0f : 0.0f; };
  return {
      {"add", binary(std::plus<float>())},
      {"subtract", binary(std::minus<float>())},
      {"multiply", binary(std::multiplies<float>())},
      {"divide", binary([](float a, float b) {
         return b == 0.0f ? (a == 0.0f || std::isnan(a)
                                 ? std::nanf("")
                                 : std::copysign(std::numeric_limits<float>::infinity(),
                                                 std::signbit(a) == std::signbit(b) ? 1.0f : -1.0f))
                          : a / b;
       })},
      {"fma", ternary([](float a, float b, float c) { return std::fma(a, b, c); })},
      {"max", binary([](float a, float b) { return std::isgreater(a, b) ? a : b; })},
      {"min", binary([](float a, float b) { return std::isless(a, b) ? a : b; })},
      {"abs", unary([](float a) { return std::fabs(a); })},
      {"negate", unary([](float a) { return -a; })},
      {"sqrt", unary([](float a) { return std::sqrt(a); })},
      {"round", unary([](float a) { return std::nearbyint(a); })},
      {"to_int", unary([](float a) {
         return std::fabs(a) < 0x1p31f ? from_int(std::lrint(a)) : from_int(INT32_MIN);
       })},
      {"to_float", unary([](float a) { return static_cast<float>(as_int(a)); })},
      {"int_add",
       binary([](float a, float b) { return from_int(int64_t{as_int(a)} + as_int(b)); })},
      {"int_sub",
       binary([](float a, float b) { return from_int(int64_t{as_int(a)} - as_int(b)); })},
      {"int_and", binary([](float a, float b) { return from_int(as_int(a) & as_int(b)); })},
      {"int_or", binary([](float a, float b) { return from_int(as_int(a) | as_int(b)); })},
      {"int_xor", binary([](float a, float b) { return from_int(as_int(a) ^ as_int(b)); })},
      {"shift_left", unary([](float a) { return from_int(int64_t{as_int(a)} * 32); })},
      {"shift_right", unary([](float a) {
         return from_int(static_cast<int64_t>(std::floor(static_cast<double>(as_int(a)) / 32)));
       })},
      {"lookup", [](const Lanes& a, const Lanes& b, const Lanes&,
                    size_t i) { return a[static_cast<size_t>(as_int(b[i]) & 15)]; }},
      {"less", binary([=](float a, float b) { return truth(std::isless(a, b)); })},
      {"less_equal", binary([=](float a, float b) { return truth(std::islessequal(a, b)); })},
      {"greater", binary([=](float a, float b) { return truth(std::isgreater(a, b)); })},
      {"greater_equal", binary([=](float a, float b) { return truth(std::isgreaterequal(a, b)); })},
      {"equal", binary([=](float a, float b) { return truth(a == b); })},
      {"is_nan", unary([=](float a) { return truth(std::isnan(a)); })},
      {"mask_and", ternary([=](float a, float b, float c) { return truth(a < b && b < c); })},
      {"mask_or", ternary([=](float a, float b, float c) { return truth(a < b || b < c); })},
      {"mask_not", binary([=](float a, float b) { return truth(!(a < b)); })},
      {"lane_bits",
       [](const Lanes& a, const Lanes& b, const Lanes&, size_t) {
         float sum = 0.0f;
         for (size_t i = 0; i < 16; ++i)
           sum += a[i] < b[i] ? std::ldexp(1.0f, static_cast<int>(i)) : 0;
         return sum;
       }},
      {"select", ternary([](float a, float b, float c) { return a < b ? c : b; })},
      {"reduce_add", [](const Lanes& a, const Lanes&, const Lanes&,
                        size_t) { return tree(a, 0, 1, std::plus<float>()); }},
      {"reduce_max",
       [](const Lanes& a, const Lanes&, const Lanes&, size_t) {
         return tree(a, 0, 1, [](float x, float y) { return std::isgreater(x, y) ? x : y; });
       }},
  };
}

class SimdTest : public testing::TestWithParam<InstructionSet> {
 protected:
  const SimdProbe& probe() const { return probe_of(GetParam()); }
};

TEST_P(SimdTest, EveryFunctionGivesTheDefinedBits) {
  const auto expected = references();
  const auto all = operands();
  for (int f = 0; f < probe().num_functions; ++f) {
    const LaneFunction& function = probe().functions[f];
    ASSERT_TRUE(expected.contains(function.name)) << function.name;
    const Reference& reference = expected.at(function.name);
    for (const auto& [a, b, c] : all) {
      Lanes out;
      function.run(a.data(), b.data(), c.data(), out.data());
      for (size_t i = 0; i < 16; ++i) {
        const float want = reference(a, b, c, i);
        ASSERT_TRUE(same(out[i], want))
            << function.name << " lane " << i << " of " << a[i] << ", " << b[i] << ", " << c[i]
            << ": " << out[i] << ", not " << want;
      }
    }
  }
}

TEST_P(SimdTest, WidensEveryHalf) {
  for (uint32_t first = 0; first < 65536; first += 16) {
    std::array<uint16_t, 16> halves;
    for (uint32_t i = 0; i < 16; ++i) halves[i] = static_cast<uint16_t>(first + i);
    Lanes f16, bf16;
    probe().load_f16(halves.data(), f16.data());
    probe().load_bf16(halves.data(), bf16.data());
    for (size_t i = 0; i < 16; ++i) {
      ASSERT_TRUE(same(f16[i], f16_to_f32(halves[i]))) << halves[i];
      ASSERT_TRUE(same(bf16[i], bf16_to_f32(halves[i]))) << halves[i];
    }
  }
}

TEST_P(SimdTest, LoadsWidenWholeNumbersAtAnyAlignment) {
  std::array<uint8_t, 34> bytes;
  for (uint32_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 41 + 100);
  std::array<uint32_t, 16> out;
  probe().load_u8(bytes.data() + 1, out.data());
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(out[i], bytes[1 + i]);
  std::array<uint16_t, 17> halves;
  std::memcpy(halves.data(), bytes.data(), sizeof(halves));
  probe().load_u16(halves.data() + 1, out.data());
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(out[i], halves[1 + i]);
  std::array<uint32_t, 17> words;
  for (uint32_t i = 0; i < 17; ++i) words[i] = i * 0x9E3779B9u;
  probe().load_u32(words.data() + 1, out.data());
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(out[i], words[1 + i]);
}

TEST_P(SimdTest, PartialLoadsAndStoresTouchTheirLanesOnly) {
  for (int n = 0; n <= 16; ++n) {
    // Exactly n floats: an address checker sees any access past them.
    std::vector<float> from(static_cast<size_t>(n)), to(static_cast<size_t>(n), -1.0f);
    for (int i = 0; i < n; ++i) from[static_cast<size_t>(i)] = static_cast<float>(i + 1);
    Lanes lanes;
    lanes.fill(-1.0f);
    probe().load_partial(from.data(), n, lanes.data());
    for (int i = 0; i < 16; ++i) {
      EXPECT_EQ(lanes[static_cast<size_t>(i)], i < n ? static_cast<float>(i + 1) : 0.0f) << n;
    }
    probe().store_partial(lanes.data(), n, to.data());
    EXPECT_EQ(to, from);
    Lanes rest;
    rest.fill(-1.0f);
    probe().store_partial(lanes.data(), n, rest.data());
    for (int i = n; i < 16; ++i) EXPECT_EQ(rest[static_cast<size_t>(i)], -1.0f) << n;
    EXPECT_EQ(probe().first_lanes(n), (1u << n) - 1u);
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, SimdTest, testing::ValuesIn(supported_sets()),
                         [](const auto& each) { return std::string(name_of(each.param)); });

TEST(InstructionSet, TheBestOneIsSupportedAndTheTablesNameThemselves) {
  EXPECT_TRUE(is_supported(best_instruction_set()));
  EXPECT_TRUE(is_supported(InstructionSet::kPortable));
  EXPECT_EQ(cpu_kernels(InstructionSet::kAuto).instruction_set, best_instruction_set());
  for (const InstructionSet set : supported_sets()) {
    EXPECT_EQ(cpu_kernels(set).instruction_set, set);
  }
}

}  // namespace
}  // namespace switchyard
