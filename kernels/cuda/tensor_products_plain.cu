#include "kernels/cuda/tensor_tile.cuh"

namespace switchyard::cuda {
namespace {

/// A thread an output of few rows: partial sums of segments, added in ascending order.
__global__ void join_kernel(JobBatch<TensorJob> batch) {
  if (!has_work(batch)) return;
  const TensorJob& job = job_of_block(batch);
  const int64_t outputs = job.job.w.spec.rows;
  const int64_t count = job.job.num_rows * outputs;
  const int64_t item = (blockIdx.x - job.first_block) * kJoinThreads + threadIdx.x;
  if (item >= count) return;
  float sum = job.partial[item];
  for (int64_t s = 1; s < job.segments.count; ++s) sum = sum + job.partial[s * count + item];
  finish_output(job.job, sum, item / outputs, item % outputs);
}

}  // namespace

void tensor_products_plain(cudaStream_t stream, const TensorBatch& batch, DType dtype) {
  if (dtype == DType::kF16) return launch_tensor_batch<PlainTile<PlainF16>>(stream, batch);
  if (dtype == DType::kBF16) return launch_tensor_batch<PlainTile<PlainBF16>>(stream, batch);
  launch_tensor_batch<PlainTile<PlainF32>>(stream, batch);
}

void join_partial_sums(cudaStream_t stream, const JobBatch<TensorJob>& batch) {
  launch(join_kernel, {static_cast<unsigned>(batch.num_blocks), kJoinThreads}, stream, batch);
}

}  // namespace switchyard::cuda
