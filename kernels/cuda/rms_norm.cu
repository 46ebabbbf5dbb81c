#include "kernels/cuda/rms_norm.h"

#include "kernels/cpu/rms_norm_impl.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

/// Sixteen threads a head of a row.
__global__ void rms_norm_kernel(cpu::RmsNormParams params) {
  const int64_t item = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 16;
  if (item >= params.num_rows * params.x.num_heads) return;
  const int64_t row = item / params.x.num_heads;
  const int64_t head = item % params.x.num_heads;
  cpu::rms_norm_head<LaneVec>(
      {params.x.at(row, head), params.gamma, params.out.at(row, head), params.width, params.eps});
}

}  // namespace

void rms_norm(cudaStream_t stream, const cpu::RmsNormParams& params) {
  constexpr int64_t kItems = 2;
  launch(rms_norm_kernel, {blocks_for(params.num_rows * params.x.num_heads, kItems), kItems * 16},
         stream, params);
}

}  // namespace switchyard::cuda
