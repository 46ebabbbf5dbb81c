// A device with tensor cores, for tests of each arithmetic that these have.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "kernels/base/dtype.h"
#include "tests/kernels/test_device.h"

namespace switchyard::testing {

/// Skips where the program has no GPU.
class TensorCoreDeviceTest : public ::testing::TestWithParam<Arithmetic> {
 protected:
  void SetUp() override {
    if (!has_backend(BackendKind::kCuda)) GTEST_SKIP() << "no GPU in this program";
    device_ = std::make_unique<TestDevice>(
        BackendOptions{.kind = BackendKind::kCuda, .arithmetic = GetParam()});
  }

  TestDevice& device() { return *device_; }

  /// As operands are.
  float rounded(float x) const {
    return GetParam() == Arithmetic::kBf16 ? bf16_to_f32(f32_to_bf16(x))
                                           : f16_to_f32(f32_to_f16(x));
  }

 private:
  std::unique_ptr<TestDevice> device_;
};

}  // namespace switchyard::testing
