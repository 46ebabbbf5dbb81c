#include "kernels/cuda/layer_norm.h"

#include "kernels/cpu/layer_norm_impl.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/wide_row.cuh"

namespace switchyard::cuda {
namespace {

/// Sixteen threads a row.
__global__ void layer_norm_kernel(cpu::LayerNormParams params) {
  const int64_t row = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 16;
  if (row < params.num_rows) cpu::layer_norm_row<LaneVec>(params, row);
}

/// A block a row.
__global__ void __launch_bounds__(kRowThreads) wide_layer_norm_kernel(cpu::LayerNormParams params) {
  __shared__ float mean;
  __shared__ float scale;
  const int64_t first = blockIdx.x * params.width;
  const float* const row = bring_row(params.x + first, params.width);
  if (threadIdx.x < 16) {
    const auto found = cpu::scale_of_row<LaneVec>(row, params.width, params.eps);
    if (threadIdx.x == 0) {
      mean = found.mean.v;
      scale = found.scale.v;
    }
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < params.width; i += kRowThreads) {
    params.out[first + i] = fmaf((row[i] - mean) * scale, params.gamma[i], params.beta[i]);
  }
}

}  // namespace

void layer_norm(cudaStream_t stream, const cpu::LayerNormParams& params) {
  if (is_wide_row(params.width)) {
    const auto rows = static_cast<unsigned>(params.num_rows);
    return launch(wide_layer_norm_kernel, {rows, kRowThreads, wide_row_bytes(params.width)}, stream,
                  params);
  }
  // Two rows a block, so that a step of few rows spreads over the multiprocessors.
  constexpr int64_t kRows = 2;
  launch(layer_norm_kernel, {blocks_for(params.num_rows, kRows), kRows * 16}, stream, params);
}

}  // namespace switchyard::cuda
