#include <cmath>
#include <limits>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

constexpr int64_t kHalf = 19;

// Frequencies of two sets: 10000^(-i / half), and half of these.
std::vector<float> frequencies() {
  std::vector<float> result;
  for (const double factor : {1.0, 0.5}) {
    for (int64_t i = 0; i < kHalf; ++i) {
      const double exponent = static_cast<double>(i) / static_cast<double>(kHalf);
      result.push_back(static_cast<float>(factor * std::pow(10000.0, -exponent)));
    }
  }
  return result;
}

const std::vector<float> kScales = {1.0f, 1.3466f};

// Positions up to 2^24, the last that fp32 holds like all before it.
const std::vector<int32_t> kPositions = {0,       1,       2,       3,        4095,    65537,
                                         1048575, 1048576, 9999991, 16777216, 8388607, 355};
const std::vector<int32_t> kSets = {0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0};

std::vector<float> make_table(TestDevice& device, const std::vector<int32_t>& positions,
                              const std::vector<int32_t>& sets) {
  const auto rows = static_cast<int64_t>(positions.size());
  const Tensor position_tensor = device.put(positions, {rows});
  const Tensor set_tensor = device.put(sets, {rows});
  const Tensor frequency_tensor = device.put(frequencies(), {2, kHalf});
  const Tensor scale_tensor = device.put(kScales, {2});
  const Tensor out = device.make({rows, 2 * kHalf});
  device.backend().rope_table(device.stream(),
                              {position_tensor.view(), set_tensor.view(), frequency_tensor.view(),
                               scale_tensor.view(), out.view()});
  return device.get(out);
}

TEST(RopeTable, HoldsCosinesAndSinesOfRoundedAnglesOnAllVariants) {
  const std::vector<float> table = same_on_all_variants(
      [](TestDevice& device) { return make_table(device, kPositions, kSets); });
  const std::vector<float> w = frequencies();
  for (size_t row = 0; row < kPositions.size(); ++row) {
    const auto set = static_cast<size_t>(kSets[row]);
    for (size_t i = 0; i < kHalf; ++i) {
      const float angle = static_cast<float>(kPositions[row]) * w[set * kHalf + i];
      const float* entry = table.data() + row * 2 * kHalf + i;
      // The host's libm is good to an ulp of double: a rounding to fp32 may still differ by one.
      const double cosine = std::cos(static_cast<double>(angle));
      const double sine = std::sin(static_cast<double>(angle));
      const double scale = kScales[set];
      EXPECT_NEAR(entry[0], cosine * scale, std::fabs(cosine * scale) * 1.3e-7) << row << " " << i;
      EXPECT_NEAR(entry[kHalf], sine * scale, std::fabs(sine * scale) * 1.3e-7) << row << " " << i;
    }
  }
}

TEST(RopeTable, RowsDoNotDependOnEachOther) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  std::vector<float> alone;
  for (size_t row = 0; row < kPositions.size(); ++row) {
    append(alone, make_table(device, {kPositions[row]}, {kSets[row]}));
  }
  expect_same_bits(alone, make_table(device, kPositions, kSets), "alone");
}

TEST(RopeTable, AnglesThatAreNoneGiveNan) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor positions = device.put<int32_t>({3}, {1});
  const Tensor sets = device.put<int32_t>({0}, {1});
  const Tensor bad = device.put<float>({1.0f, std::nanf(""), inf, 1e30f}, {1, 4});
  const Tensor scales = device.put<float>({1.0f}, {1});
  const Tensor out = device.make({1, 8});
  device.backend().rope_table(
      device.stream(), {positions.view(), sets.view(), bad.view(), scales.view(), out.view()});
  const std::vector<float> table = device.get(out);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(std::isnan(table[i]), i % 4 != 0) << i;
}

TEST(RopeTable, NamesSetsOutOfRange) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kStrict}) {
    TestDevice device({kind, InstructionSet::kAuto, 1, 1});
    expect_error(
        [&] {
          make_table(device, {5, 6}, {0, 2});
        },
        ErrorKind::kInternal, "rope_table: frequency_set[1] is 2 of 2");
  }
}

// Heads of x and out whose columns from x_first and out_first on rotate.
struct Case {
  RopeLayout layout;
  int64_t rows, half, x_heads, x_width, x_first, out_heads, out_width, out_first;
};

std::vector<float> table_of(const Case& c) { return random_floats(c.rows * 2 * c.half, 2); }
std::vector<float> x_of(const Case& c) { return random_floats(c.rows * c.x_heads * c.x_width, 1); }

std::vector<float> rotate(TestDevice& device, const Case& c) {
  const Tensor table = device.put(table_of(c), {c.rows, 2 * c.half});
  const Tensor x = device.put(x_of(c), {c.rows, c.x_heads * c.x_width});
  const int64_t width = c.out_heads * c.out_width;
  const Tensor out = device.put(random_floats(c.rows * width, 3), {c.rows, width});
  device.backend().rope(device.stream(), {{x.view(), c.x_heads, c.x_first},
                                          table.view(),
                                          c.layout,
                                          {out.view(), c.out_heads, c.out_first}});
  return device.get(out);
}

std::vector<float> expected_of(const Case& c) {
  const std::vector<float> table = table_of(c);
  const std::vector<float> x = x_of(c);
  std::vector<float> out = random_floats(c.rows * c.out_heads * c.out_width, 3);
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t head = 0; head < c.out_heads; ++head) {
      const int64_t x_head = c.x_heads == 1 ? 0 : head;
      const float* from = x.data() + (row * c.x_heads + x_head) * c.x_width + c.x_first;
      float* to = out.data() + (row * c.out_heads + head) * c.out_width + c.out_first;
      for (int64_t i = 0; i < c.half; ++i) {
        const bool is_halves = c.layout == RopeLayout::kHalves;
        const int64_t a = is_halves ? i : 2 * i;
        const int64_t b = is_halves ? c.half + i : 2 * i + 1;
        const float cosine = table[static_cast<size_t>(row * 2 * c.half + i)];
        const float sine = table[static_cast<size_t>(row * 2 * c.half + c.half + i)];
        to[a] = std::fma(-from[b], sine, from[a] * cosine);
        to[b] = std::fma(from[a], sine, from[b] * cosine);
      }
    }
  }
  return out;
}

TEST(Rope, RotatesColumnsOfHeadsOnAllVariants) {
  for (const RopeLayout layout : {RopeLayout::kHalves, RopeLayout::kInterleaved}) {
    for (const Case& c : {Case{layout, 3, 1, 1, 2, 0, 1, 2, 0},
                          {layout, 5, 16, 4, 32, 0, 4, 32, 0},
                          {layout, 40, 19, 3, 45, 4, 3, 38, 0},     // part of a head
                          {layout, 7, 32, 1, 64, 0, 6, 80, 16}}) {  // one head for six
      const std::vector<float> out =
          same_on_all_variants([&](TestDevice& device) { return rotate(device, c); });
      expect_same_bits(expected_of(c), out, std::to_string(c.half));
    }
  }
}

TEST(Rope, WorksInPlaceAndKeepsOtherColumns) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 2, 1});
  for (const RopeLayout layout : {RopeLayout::kHalves, RopeLayout::kInterleaved}) {
    const Case c{layout, 9, 19, 2, 50, 7, 2, 50, 7};
    const Tensor table = device.put(table_of(c), {c.rows, 2 * c.half});
    const Tensor x = device.put(x_of(c), {c.rows, 100});
    const HeadColumns columns{x.view(), 2, 7};
    device.backend().rope(device.stream(), {columns, table.view(), layout, columns});
    const std::vector<float> out = device.get(x);
    const std::vector<float> rotated = expected_of(c);
    std::vector<float> expected = x_of(c);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (i % 50 >= 7 && i % 50 < 7 + 38) expected[i] = rotated[i];
    }
    expect_same_bits(expected, out, "in place");
  }
}

TEST(Rope, KeepsNan) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Tensor table = device.put<float>({1.0f, 1.0f, 0.0f, 0.0f}, {1, 4});
  const Tensor x = device.put<float>({std::nanf(""), 2.0f, 3.0f, 4.0f}, {1, 4});
  const HeadColumns columns{x.view(), 1, 0};
  device.backend().rope(device.stream(), {columns, table.view(), RopeLayout::kHalves, columns});
  const std::vector<float> out = device.get(x);
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[2]));
  EXPECT_TRUE(out[1] == 2.0f && out[3] == 4.0f);
}

TEST(Rope, RefusesWrongShapes) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Tensor table = device.make({2, 8});
  const Tensor x = device.make({2, 24});
  const Tensor y = device.make({2, 24});
  const auto call = [&](const HeadColumns& from, const HeadColumns& to) {
    return [&, from, to] {
      device.backend().rope(device.stream(), {from, table.view(), RopeLayout::kHalves, to});
    };
  };
  expect_error(call({x.view(), 4, 0}, {y.view(), 1, 0}), ErrorKind::kInternal,
               "rope: x has 6 columns a head, expected 8 from 0 on");
  expect_error(call({x.view(), 2, 0}, {y.view(), 3, 0}), ErrorKind::kInternal,
               "rope: x has neither one head nor as many as out");
  expect_error(call({x.view(), 1, 0}, {x.view(), 1, 4}), ErrorKind::kInternal,
               "rope: out overlaps x");
}

}  // namespace
}  // namespace switchyard::testing
