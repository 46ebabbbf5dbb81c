#include <cmath>
#include <limits>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

struct Case {
  int64_t rows, width;
};

std::vector<float> run(TestDevice& device, const Case& c, const std::vector<float>& x) {
  const Tensor gamma = device.put(random_floats(c.width, 2), {c.width});
  const Tensor beta = device.put(random_floats(c.width, 3), {c.width});
  const Tensor in = device.put(x, {c.rows, c.width});
  const Tensor out = device.make({c.rows, c.width});
  device.backend().layer_norm(device.stream(),
                              {in.view(), gamma.view(), beta.view(), 1e-5f, out.view()});
  return device.get(out);
}

TEST(LayerNorm, MatchesDoubleReferenceOnAllVariants) {
  for (const Case& c : {Case{1, 1}, {3, 15}, {2, 16}, {5, 17}, {40, 37}, {70, 768}, {3, 1037}}) {
    std::vector<float> x = random_floats(c.rows * c.width, 1, 3.0f);
    for (float& value : x) value += 0.5f;
    const std::vector<float> gamma = random_floats(c.width, 2);
    const std::vector<float> beta = random_floats(c.width, 3);
    const std::vector<float> out =
        same_on_all_variants([&](TestDevice& device) { return run(device, c, x); });
    for (int64_t row = 0; row < c.rows; ++row) {
      double mean = 0, variance = 0;
      const float* values = x.data() + row * c.width;
      for (int64_t i = 0; i < c.width; ++i) mean += values[i] / static_cast<double>(c.width);
      for (int64_t i = 0; i < c.width; ++i) {
        variance += (values[i] - mean) * (values[i] - mean) / static_cast<double>(c.width);
      }
      for (int64_t i = 0; i < c.width; ++i) {
        const auto column = static_cast<size_t>(i);
        const double expected =
            (values[i] - mean) / std::sqrt(variance + 1e-5) * gamma[column] + beta[column];
        // |normal| <= sqrt(width) < 28; mean and variance carry a few fp32 roundings.
        EXPECT_NEAR(out[static_cast<size_t>(row * c.width + i)], expected, 5e-6)
            << c.width << " row " << row << " column " << i;
      }
    }
  }
}

TEST(LayerNorm, RowsDoNotDependOnEachOther) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  const Case all{33, 37};
  std::vector<float> x = random_floats(all.rows * all.width, 5);
  x[7 * 37 + 2] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> together = run(device, all, x);
  for (int64_t row = 0; row < all.rows; ++row) {
    const std::vector<float> one(x.begin() + row * 37, x.begin() + (row + 1) * 37);
    const std::vector<float> expected(together.begin() + row * 37,
                                      together.begin() + (row + 1) * 37);
    expect_same_bits(expected, run(device, {1, 37}, one), "row " + std::to_string(row));
    EXPECT_EQ(std::isnan(expected[0]), row == 7);
  }
}

TEST(LayerNorm, WorksInPlaceAndOnConstantRows) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 1, 1});
  const Tensor x = device.put(std::vector<float>(2 * 18, 2.0f), {2, 18});
  const std::vector<float> shift = random_floats(18, 3);
  const Tensor gamma = device.put(random_floats(18, 2), {18});
  const Tensor beta = device.put(shift, {18});
  device.backend().layer_norm(device.stream(),
                              {x.view(), gamma.view(), beta.view(), 1e-5f, x.view()});
  std::vector<float> expected = shift;
  append(expected, shift);
  expect_same_bits(expected, device.get(x), "constant rows give beta");
}

TEST(LayerNorm, RefusesWrongShapes) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Tensor x = device.make({2, 16});
  const Tensor gamma = device.make({15});
  const auto call = [&] {
    device.backend().layer_norm(device.stream(),
                                {x.view(), gamma.view(), gamma.view(), 1e-5f, x.view()});
  };
  expect_error(call, ErrorKind::kInternal, "layer_norm: gamma is fp32 [15], expected fp32 [16]");
}

}  // namespace
}  // namespace switchyard::testing
