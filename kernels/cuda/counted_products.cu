#include "kernels/cuda/counted_products.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_place.cuh"

namespace switchyard::cuda {
namespace {

/// Rows up to which the segments of a sum are blocks of their own: more fill a GPU without.
constexpr int64_t kMostSharedRows = 256;

bool shares_sums(const TensorSegments& segments, int64_t most_rows) {
  return segments.count > 1 && most_rows <= kMostSharedRows;
}

TensorJob make_job(const cpu::HostMatmul& product, float* partial, int64_t most_rows) {
  const WeightSpec& spec = product.w.spec;
  TensorJob job = {};
  job.job = product;
  if (product.x_stride == 0) job.job.x_stride = spec.cols;
  if (product.out_stride == 0) job.job.out_stride = spec.rows;
  if (spec.quantization.is_on()) job.layout = cpu::layout_of(spec);
  job.segments = tensor_segments(spec.rows, spec.cols);
  if (shares_sums(job.segments, most_rows)) {
    job.sharing_blocks = job.segments.count;
    job.partial = partial;
  }
  return job;
}

}  // namespace

int64_t counted_scratch_bytes(const WeightSpec& spec, int64_t most_rows) {
  const int64_t rows = most_rows < kMostSharedRows ? most_rows : kMostSharedRows;
  return tensor_segments(spec.rows, spec.cols).count * rows * spec.rows * size_of(DType::kF32);
}

void counted_tensor_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                             const CountedGroups& groups, Arithmetic arithmetic, float* partial) {
  std::vector<TensorJob> members;
  for (const cpu::HostMatmul& job : jobs)
    members.push_back(make_job(job, partial, groups.most_rows));
  const WeightSpec& spec = jobs.front().w.spec;
  const int64_t sharing_blocks = members.front().sharing_blocks;
  const TensorBatch batch{
      make_counted_batch(queue, members, groups,
                         {kFewTensorRows, blocks_for(spec.rows, kTensorOutputs) * sharing_blocks}),
      TensorForm::kFew, arithmetic};
  if (spec.quantization.is_on()) {
    tensor_products_quantized(queue.stream(), batch, cpu::form_of(spec.quantization));
  } else {
    tensor_products_plain(queue.stream(), batch, spec.dtype);
  }
  if (sharing_blocks == 1) return;
  join_partial_sums(queue.stream(), make_counted_batch(queue, members, groups,
                                                       {1, blocks_for(spec.rows, kJoinThreads)}));
}

}  // namespace switchyard::cuda
