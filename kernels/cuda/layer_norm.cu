#include "kernels/cuda/layer_norm.h"

#include "kernels/cpu/layer_norm_impl.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

/// Sixteen threads a row.
__global__ void layer_norm_kernel(cpu::LayerNormParams params) {
  const int64_t row = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 16;
  if (row < params.num_rows) cpu::layer_norm_row<LaneVec>(params, row);
}

}  // namespace

void layer_norm(cudaStream_t stream, const cpu::LayerNormParams& params) {
  // Two rows a block, so that a step of few rows spreads over the multiprocessors.
  constexpr int64_t kRows = 2;
  launch(layer_norm_kernel, {blocks_for(params.num_rows, kRows), kRows * 16}, stream, params);
}

}  // namespace switchyard::cuda
