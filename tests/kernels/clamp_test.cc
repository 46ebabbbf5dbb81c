#include <cmath>
#include <limits>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

std::vector<float> run(TestDevice& device, const std::vector<float>& x, float limit) {
  const Tensor tensor = device.put(x, {static_cast<int64_t>(x.size())});
  device.backend().clamp(device.stream(), {tensor.view(), limit});
  return device.get(tensor);
}

TEST(Clamp, LimitsBothSigns) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {-inf, -8.5f, -8.0f, -0.0f, 0.25f, 8.0f, 8.5f, inf, std::nanf("")};
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kStrict}) {
    TestDevice device({kind, InstructionSet::kAuto, 2, 1});
    const std::vector<float> out = run(device, x, 8.0f);
    expect_same_bits({-8.0f, -8.0f, -8.0f, -0.0f, 0.25f, 8.0f, 8.0f, 8.0f, std::nanf("")}, out,
                     "clamped");
  }
}

TEST(Clamp, TakesManyElements) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  const std::vector<float> x = random_floats(100001, 1, 3.0f);
  std::vector<float> expected = x;
  for (float& value : expected) value = std::fmax(-1.0f, std::fmin(value, 1.0f));
  expect_same_bits(expected, run(device, x, 1.0f), "many");
}

TEST(Clamp, RefusesLimitsThatAreNone) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  for (const float limit : {-1.0f, std::nanf("")}) {
    expect_error([&] { run(device, {1.0f}, limit); }, ErrorKind::kInternal,
                 "clamp: limit is not a number from 0 on");
  }
}

}  // namespace
}  // namespace switchyard::testing
