#include <cmath>
#include <limits>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

// Heads of a row tensor, of which `columns` from `first` on are normalised.
struct Case {
  int64_t rows, heads, width, first, columns;
  int64_t row_width() const { return heads * width; }
};

enum class Place { kOther, kInPlace };

std::vector<float> run(TestDevice& device, const Case& c, const std::vector<float>& x,
                       Place place = Place::kOther, float eps = 1e-6f) {
  const Tensor gamma = device.put(random_floats(c.columns, 2), {c.columns});
  const Tensor in = device.put(x, {c.rows, c.row_width()});
  const Tensor other = device.put(x, {c.rows, c.row_width()});
  const HeadColumns from{in.view(), c.heads, c.first};
  const HeadColumns to{other.view(), c.heads, c.first};
  const bool is_in_place = place == Place::kInPlace;
  device.backend().rms_norm(device.stream(), {from, gamma.view(), eps, is_in_place ? from : to});
  return device.get(is_in_place ? in : other);
}

TEST(RmsNorm, MatchesDoubleReferenceOnAllVariants) {
  for (const Case& c : {Case{1, 1, 1, 0, 1},
                        {3, 1, 15, 0, 15},
                        {5, 1, 37, 0, 37},
                        {70, 1, 768, 0, 768},
                        {2, 2, 1037, 0, 1037},
                        {9, 4, 16, 0, 16},
                        {9, 3, 128, 0, 128},
                        {4, 1, 40, 0, 33},
                        {5, 3, 20, 2, 17}}) {
    const std::vector<float> x = random_floats(c.rows * c.row_width(), 1, 3.0f);
    const std::vector<float> gamma = random_floats(c.columns, 2);
    const std::vector<float> out =
        same_on_all_variants([&](TestDevice& device) { return run(device, c, x); });
    std::vector<float> expected = x;  // the other columns stay
    for (int64_t head = 0; head < c.rows * c.heads; ++head) {
      const int64_t begin = head * c.width + c.first;
      double squares = 0;
      for (int64_t i = begin; i < begin + c.columns; ++i) {
        const double value = x[static_cast<size_t>(i)];
        squares += value * value / static_cast<double>(c.columns);
      }
      for (int64_t i = 0; i < c.columns; ++i) {
        const auto at = static_cast<size_t>(begin + i);
        const double y = x[at] / std::sqrt(squares + 1e-6) * gamma[static_cast<size_t>(i)];
        // |normal| <= sqrt(columns) < 28; the mean carries a few fp32 roundings.
        EXPECT_NEAR(out[at], y, 5e-6) << c.columns << " head " << head << " column " << i;
        expected[at] = out[at];
      }
    }
    expect_same_bits(expected, out, "columns that are not normalised");
  }
}

TEST(RmsNorm, RowsAndHeadsDoNotDependOnEachOther) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  std::vector<float> x = random_floats(33 * 2 * 37, 5);
  x[7 * 37 + 2] = std::numeric_limits<float>::quiet_NaN();
  x[8 * 37 + 2] = std::numeric_limits<float>::infinity();
  const std::vector<float> together = run(device, {33, 2, 37, 0, 37}, x);
  for (int64_t head = 0; head < 66; ++head) {
    const std::vector<float> one(x.begin() + head * 37, x.begin() + (head + 1) * 37);
    const std::vector<float> expected(together.begin() + head * 37,
                                      together.begin() + (head + 1) * 37);
    expect_same_bits(expected, run(device, {1, 1, 37, 0, 37}, one), std::to_string(head));
    EXPECT_EQ(std::isnan(expected[2]), head == 7 || head == 8) << head;
  }
}

TEST(RmsNorm, WorksInPlace) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 1, 1});
  const Case c{9, 3, 40, 5, 33};
  const std::vector<float> x = random_floats(c.rows * c.row_width(), 1);
  expect_same_bits(run(device, c, x), run(device, c, x, Place::kInPlace), "in place");
}

TEST(RmsNorm, RefusesWrongShapes) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Tensor x = device.make({2, 32});
  const Tensor y = device.make({2, 32});
  const Tensor gamma = device.make({9});
  const auto call = [&](const HeadColumns& from, const HeadColumns& to) {
    return [&, from, to] {
      device.backend().rms_norm(device.stream(), {from, gamma.view(), 1e-5f, to});
    };
  };
  expect_error(call({x.view(), 4, 0}, {y.view(), 4, 0}), ErrorKind::kInternal,
               "rms_norm: x has 8 columns a head, expected 9 from 0 on");
  expect_error(call({x.view(), 1, 24}, {y.view(), 1, 0}), ErrorKind::kInternal,
               "rms_norm: x has 32 columns a head, expected 9 from 24 on");
  expect_error(call({x.view(), 3, 0}, {y.view(), 1, 0}), ErrorKind::kInternal,
               "rms_norm: x has columns that are not equally many");
  expect_error(call({x.view(), 2, 0}, {y.view(), 1, 0}), ErrorKind::kInternal,
               "rms_norm: out has not as many heads as x");
  expect_error(call({x.view(), 2, 0}, {x.view(), 2, 1}), ErrorKind::kInternal,
               "rms_norm: out overlaps x");
}

}  // namespace
}  // namespace switchyard::testing
