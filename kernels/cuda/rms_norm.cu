#include "kernels/cuda/rms_norm.h"

#include "kernels/cpu/rms_norm_impl.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/wide_row.cuh"

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

/// A block a head of a row.
__global__ void __launch_bounds__(kRowThreads) wide_rms_norm_kernel(cpu::RmsNormParams params) {
  __shared__ float scale;
  const int64_t row = blockIdx.x / params.x.num_heads;
  const int64_t head = blockIdx.x % params.x.num_heads;
  const float* const x = bring_row(params.x.at(row, head), params.width);
  if (threadIdx.x < 16) {
    const LaneVec found = cpu::scale_of_head<LaneVec>(x, params.width, params.eps);
    if (threadIdx.x == 0) scale = found.v;
  }
  __syncthreads();
  float* const out = params.out.at(row, head);
  for (int64_t i = threadIdx.x; i < params.width; i += kRowThreads) {
    out[i] = x[i] * scale * params.gamma[i];
  }
}

}  // namespace

void rms_norm(cudaStream_t stream, const cpu::RmsNormParams& params) {
  if (is_wide_row(params.width)) {
    const auto blocks = static_cast<unsigned>(params.num_rows * params.x.num_heads);
    return launch(wide_rms_norm_kernel, {blocks, kRowThreads, wide_row_bytes(params.width)}, stream,
                  params);
  }
  constexpr int64_t kItems = 2;
  launch(rms_norm_kernel, {blocks_for(params.num_rows * params.x.num_heads, kItems), kItems * 16},
         stream, params);
}

}  // namespace switchyard::cuda
