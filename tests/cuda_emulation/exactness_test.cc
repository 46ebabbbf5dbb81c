// Which instructions products are made of.
#include <gtest/gtest.h>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/instructions/warpgroup.cuh"

namespace switchyard {
namespace {

std::string description_of(Arithmetic arithmetic) {
  return CudaBackend({.kind = BackendKind::kCuda, .arithmetic = arithmetic}).description();
}

TEST(ExactProducts, WarpgroupsMultiplyManyRows) {
  EXPECT_NE(description_of(Arithmetic::kBf16).find("wgmma"), std::string::npos);
  EXPECT_NE(description_of(Arithmetic::kFp16).find("wgmma"), std::string::npos);
  EXPECT_EQ(description_of(Arithmetic::kFp32).find("wgmma"), std::string::npos);
}

/// A GPU whose instructions differ keeps those that agree.
TEST(ExactProducts, OthersThanThoseOfFewRowsAreLeftOut) {
  cuda::warpgroups_round_each_term = true;
  EXPECT_NE(description_of(Arithmetic::kBf16).find("mma.sync"), std::string::npos);
  cuda::warpgroups_round_each_term = false;
}

}  // namespace
}  // namespace switchyard
