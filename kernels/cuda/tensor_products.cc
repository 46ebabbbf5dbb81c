#include "kernels/cuda/tensor_products.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "kernels/base/error.h"

namespace switchyard::cuda {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool has_few_rows(const cpu::HostMatmul& job) { return job.num_rows <= kFewTensorRows; }

/// Floats of partial sums of a job.
int64_t partial_floats(const cpu::HostMatmul& job) {
  const int64_t segments = tensor_segments(job.w.spec.rows, job.w.spec.cols).count;
  return has_few_rows(job) && segments > 1 ? segments * job.num_rows * job.w.spec.rows : 0;
}

TensorJob tensor_job(const cpu::HostMatmul& job) {
  const WeightSpec& spec = job.w.spec;
  TensorJob out;
  out.job = job;
  if (job.x_stride == 0) out.job.x_stride = spec.cols;
  if (job.out_stride == 0) out.job.out_stride = spec.rows;
  if (spec.quantization.is_on()) out.layout = cpu::layout_of(spec);
  out.segments = tensor_segments(spec.rows, spec.cols);
  out.row_tiles = divide_up(job.num_rows, has_few_rows(job) ? kFewTensorRows : kManyTensorRows);
  return out;
}

/// What one launch has in common: bits (0: plain), type, whether rows are few.
using Kind = std::tuple<int, DType, bool>;

Kind kind_of(const cpu::HostMatmul& job) {
  const int bits = job.w.spec.quantization.bits;
  return {bits, bits == 0 ? job.w.spec.dtype : DType::kF32, has_few_rows(job)};
}

/// Uploads jobs whose blocks are counted by blocks_of(job).
template <typename BlocksOf>
TensorBatch make_batch(CudaQueue& queue, std::vector<TensorJob>& jobs, Arithmetic arithmetic,
                       const BlocksOf& blocks_of) {
  TensorBatch batch;
  for (TensorJob& job : jobs) {
    job.first_block = batch.num_blocks;
    batch.num_blocks += blocks_of(job);
  }
  SWITCHYARD_CHECK(batch.num_blocks <= INT32_MAX, batch.num_blocks, " blocks of products");
  batch.jobs = queue.upload(jobs);
  batch.num_jobs = static_cast<int>(jobs.size());
  batch.arithmetic = arithmetic;
  return batch;
}

}  // namespace

TensorSegments tensor_segments(int64_t n, int64_t k) {
  constexpr int64_t kWantedBlocks = 264;
  constexpr int64_t kLeastDepth = 256;
  const int64_t tiles = std::max<int64_t>(1, divide_up(n, kTensorOutputs));
  const int64_t count = std::clamp<int64_t>(divide_up(kWantedBlocks, tiles), 1,
                                            std::max<int64_t>(1, k / kLeastDepth));
  const int64_t depth =
      std::max<int64_t>(1, divide_up(divide_up(k, count), kTensorDepth)) * kTensorDepth;
  return {.count = std::max<int64_t>(1, divide_up(k, depth)), .depth = depth};
}

int64_t tensor_scratch_bytes(const std::vector<cpu::HostMatmul>& jobs) {
  int64_t floats = 0;
  for (const cpu::HostMatmul& job : jobs) floats += partial_floats(job);
  return divide_up(floats * size_of(DType::kF32), 256) * 256;
}

void tensor_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                     Arithmetic arithmetic, void* scratch) {
  std::map<Kind, std::vector<TensorJob>> batches;
  std::vector<TensorJob> joined;
  float* partial = static_cast<float*>(scratch);
  for (const cpu::HostMatmul& job : jobs) {
    if (job.num_rows == 0 || job.w.spec.rows == 0) continue;
    TensorJob entry = tensor_job(job);
    if (const int64_t floats = partial_floats(job); floats > 0) {
      entry.partial = partial;
      partial += floats;
      joined.push_back(entry);
    }
    batches[kind_of(job)].push_back(entry);
  }
  for (auto& [kind, members] : batches) {
    const auto [bits, dtype, is_few] = kind;
    TensorBatch batch = make_batch(queue, members, arithmetic, [](const TensorJob& job) {
      const int64_t tiles = divide_up(job.job.w.spec.rows, kTensorOutputs) * job.row_tiles;
      return has_few_rows(job.job) ? tiles * job.segments.count : tiles;
    });
    batch.has_few_rows = is_few;
    if (bits == 0) {
      tensor_products_plain(queue.stream(), batch, dtype);
    } else {
      tensor_products_quantized(queue.stream(), batch, bits);
    }
  }
  if (joined.empty()) return;
  const auto blocks = [](const TensorJob& job) {
    return divide_up(job.job.num_rows * job.job.w.spec.rows, kJoinThreads);
  };
  join_partial_sums(queue.stream(), make_batch(queue, joined, arithmetic, blocks));
}

}  // namespace switchyard::cuda
