#include <limits>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

int32_t first_row(TestDevice& device, const std::vector<float>& x, int64_t rows, int64_t width) {
  const Tensor in = device.put(x, {rows, width});
  const Tensor out = device.make(DType::kI32, {1});
  device.backend().find_non_finite(device.stream(), {in.view(), out.view()});
  return device.get<int32_t>(out.view())[0];
}

TEST(FindNonFinite, FindsTheLowestRowOnAllVariants) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const int64_t rows = 300, width = 1001;
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    std::vector<float> x = random_floats(rows * width, 1);
    x[0] = std::numeric_limits<float>::max();
    x[1] = std::numeric_limits<float>::denorm_min();
    x[2] = -0.0f;
    EXPECT_EQ(first_row(device, x, rows, width), -1);
    x[static_cast<size_t>(299 * width + 1000)] = infinity;
    EXPECT_EQ(first_row(device, x, rows, width), 299);
    x[static_cast<size_t>(150 * width)] = -infinity;
    x[static_cast<size_t>(151 * width)] = nan;
    EXPECT_EQ(first_row(device, x, rows, width), 150);
    x[17] = -nan;
    EXPECT_EQ(first_row(device, x, rows, width), 0);
  }
}

TEST(FindNonFinite, NoRowsHoldNone) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 1, 1});
  const Tensor out = device.make(DType::kI32, {1});
  device.backend().find_non_finite(device.stream(), {{nullptr, DType::kF32, {0, 8}}, out.view()});
  EXPECT_EQ(device.get<int32_t>(out.view())[0], -1);
}

}  // namespace
}  // namespace switchyard::testing
