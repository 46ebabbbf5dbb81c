#include "kernels/cuda/round_rows.h"

#include "kernels/base/device_code.h"
#include "kernels/cuda/job_batch.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_numbers.cuh"

namespace switchyard::cuda {
namespace {

static_assert(kRoundedTileBytes / 16 % kRoundThreads == 0);

/// Inputs [k, k + 8) of a row, zero past its end.
__device__ void load_inputs(const RoundJob& job, int64_t row, int64_t k, float (&inputs)[8]) {
  const float* const x = job.x + row * job.x_stride + k;
  if (row < job.num_rows && k + 8 <= job.cols && reinterpret_cast<uintptr_t>(x) % 16 == 0) {
    const float4 low = __ldg(reinterpret_cast<const float4*>(x));
    const float4 high = __ldg(reinterpret_cast<const float4*>(x) + 1);
    const float both[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    memcpy(inputs, both, sizeof(inputs));
    return;
  }
  SWITCHYARD_UNROLL
  for (int i = 0; i < 8; ++i) {
    inputs[i] = row < job.num_rows && k + i < job.cols ? x[i] : 0.0f;
  }
}

/// Bound by memory: reads 4 bytes and writes 2 of each number, 16 bytes a thread.
template <typename Numbers>
__global__ void round_kernel(JobBatch<RoundJob> batch) {
  const RoundJob& job = job_of_block(batch);
  const int64_t piece = (blockIdx.x - job.first_block) * kRoundThreads + threadIdx.x;
  constexpr int kPieces = kRoundedInputs / 8;
  const auto per_row = static_cast<int>(rounded_depth_tiles(job.cols)) * kPieces;
  const int64_t row = piece / per_row;
  const auto column = static_cast<int>(piece - row * per_row);
  float inputs[8];
  load_inputs(job, row, int64_t{column} * 8, inputs);
  const uint4 rounded =
      make_uint4(Numbers::pack(inputs[0], inputs[1]), Numbers::pack(inputs[2], inputs[3]),
                 Numbers::pack(inputs[4], inputs[5]), Numbers::pack(inputs[6], inputs[7]));
  if (job.is_row_major && (row >= job.num_rows || int64_t{column} * 8 >= job.cols)) return;
  const int64_t place = job.is_row_major
                            ? row * job.cols + int64_t{column} * 8
                            : rounded_place(row, int64_t{column} * 8, per_row / kPieces);
  *reinterpret_cast<uint4*>(job.out + place) = rounded;
}

}  // namespace

void round_rows(cudaStream_t stream, const JobBatch<RoundJob>& batch, Arithmetic arithmetic) {
  launch(arithmetic == Arithmetic::kBf16 ? round_kernel<Bf16Numbers> : round_kernel<Fp16Numbers>,
         {static_cast<unsigned>(batch.num_blocks), kRoundThreads}, stream, batch);
}

}  // namespace switchyard::cuda
