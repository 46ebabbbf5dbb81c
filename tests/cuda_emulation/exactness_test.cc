// Which instructions products are made of.
#include <gtest/gtest.h>

#include <random>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/instructions/warpgroup.cuh"
#include "kernels/cuda/tensor_plan.h"

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

/// Of calls with few and many rows an expert.
TEST(TensorScratch, IsWithinItsBound) {
  std::mt19937 generator(1);
  for (const WeightSpec& spec : {WeightSpec{DType::kBF16, 256, 2048},
                                 {DType::kBF16, 28672, 4096},
                                 {DType::kBF16, 70, 800},
                                 {DType::kF32, 256, 2048},
                                 {DType::kF32, 512, 1024, {4, 64}}}) {
    for (const auto many_rows : {cuda::ManyRows::kWarps, cuda::ManyRows::kWarpgroups}) {
      const cuda::ProductMethod method{Arithmetic::kBf16, many_rows};
      for (const int64_t most : {1, 20, 70, 300}) {
        for (const int64_t num_jobs : {1, 5, 64}) {
          std::vector<cpu::HostMatmul> jobs(static_cast<size_t>(num_jobs));
          std::vector<float> rows(jobs.size());  // each job has its own
          int64_t total = 0;
          for (size_t i = 0; i < jobs.size(); ++i) {
            jobs[i].x = &rows[i];
            jobs[i].w.spec = spec;
            jobs[i].num_rows = static_cast<int64_t>(generator()) % (most + 1);
            total += jobs[i].num_rows;
          }
          EXPECT_LE(cuda::TensorPlan(cuda::plain_products(jobs), method).bytes(),
                    cuda::tensor_scratch_bound(spec, total, num_jobs, method))
              << spec.rows << " x " << spec.cols << ", " << num_jobs << " jobs of up to " << most;
        }
      }
    }
  }
}

}  // namespace
}  // namespace switchyard
