#include "kernels/cuda/finite.h"

#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

constexpr int64_t kThreads = 256;
/// Above every row as an unsigned number; as an int32 it is -1, "none".
constexpr unsigned kNone = 0xFFFFFFFFu;

/// The minimum does not depend on the order in which rows arrive at it.
__global__ void find_non_finite_kernel(cpu::FindNonFiniteParams params) {
  const int64_t count = params.num_rows * params.width;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  constexpr uint32_t kExponent = 0x7F800000u;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    if ((bits_of_float(params.x[i]) & kExponent) != kExponent) continue;
    atomicMin(reinterpret_cast<unsigned*>(params.first_row),
              static_cast<unsigned>(i / params.width));
    return;
  }
}

}  // namespace

void find_non_finite(cudaStream_t stream, const cpu::FindNonFiniteParams& params) {
  check_cuda(cudaMemsetAsync(params.first_row, static_cast<int>(kNone), sizeof(unsigned), stream),
             "clearing a result");
  // Eight numbers a thread and more: the search reads once what a step has just written.
  const int64_t threads = blocks_for(params.num_rows * params.width, 8 * kThreads);
  launch(find_non_finite_kernel, {static_cast<unsigned>(threads < 2048 ? threads : 2048), kThreads},
         stream, params);
}

}  // namespace switchyard::cuda
