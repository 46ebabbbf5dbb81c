#include "kernels/cuda/exactness_probe.h"

#include <cstring>
#include <random>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/packing.h"
#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {
namespace {

// One tile of outputs and, by tensor_segments(), three segments.
constexpr int64_t kOutputs = 64;
constexpr int64_t kInputs = 768;
// A tile of many rows and a part of one.
constexpr int64_t kRows = kManyTensorRows + 3;

std::vector<float> random_numbers(int64_t count) {
  std::mt19937 generator(1);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& number : out) number = static_cast<float>(generator() >> 8) * 0x1p-23f - 1.0f;
  return out;
}

/// Device memory of the probe.
struct Buffers {
  const float* x;  // [kRows, kInputs]
  Weight weight;
  float* out;  // [kRows, kOutputs]
  void* partial;
};

/// Rows [first, first + count) of the result, by one call.
std::vector<float> multiply(CudaQueue& queue, Arithmetic arithmetic, const Buffers& buffers,
                            int64_t first, int64_t count) {
  cpu::HostMatmul job;
  job.x = buffers.x + first * kInputs;
  job.num_rows = count;
  job.w = buffers.weight;
  job.out = buffers.out;
  tensor_products(queue, {job}, arithmetic, buffers.partial);
  std::vector<float> out(static_cast<size_t>(count * kOutputs));
  check_cuda(cudaMemcpyAsync(out.data(), buffers.out, out.size() * sizeof(float),
                             cudaMemcpyDeviceToHost, queue.stream()),
             "copying from the device");
  check_cuda(cudaStreamSynchronize(queue.stream()), "waiting for products");
  return out;
}

void probe(CudaQueue& queue, Arithmetic arithmetic) {
  const WeightSpec spec{DType::kF32, kOutputs, kInputs};
  const std::vector<float> x = random_numbers(kRows * kInputs);
  const int64_t weight_bytes = packed_bytes(spec, arithmetic);
  const int64_t out_bytes = kRows * kOutputs * size_of(DType::kF32);
  const int64_t partial_bytes =
      tensor_segments(kOutputs, kInputs).count * kFewTensorRows * kOutputs * size_of(DType::kF32);
  // Any fp32 numbers are packed panels of some matrix.
  const std::vector<float> weights = random_numbers(weight_bytes / size_of(DType::kF32));
  Buffers buffers;
  buffers.x = queue.upload(x);
  buffers.weight = {spec, const_cast<float*>(queue.upload(weights))};
  auto* const scratch = static_cast<char*>(queue.scratch(out_bytes + partial_bytes));
  buffers.out = reinterpret_cast<float*>(scratch);
  buffers.partial = scratch + out_bytes;
  const std::vector<float> together = multiply(queue, arithmetic, buffers, 0, kRows);
  for (const int64_t count : {int64_t{1}, int64_t{5}, int64_t{kFewTensorRows}}) {
    const int64_t first = kRows - count;
    const std::vector<float> part = multiply(queue, arithmetic, buffers, first, count);
    const float* const expected = together.data() + first * kOutputs;
    if (std::memcmp(part.data(), expected, part.size() * sizeof(float)) != 0) {
      fail_resource("the tensor cores of this GPU give a row other numbers among ", count,
                    " rows than among ", kRows, "; choose --numerics cpu-fp32");
    }
  }
}

}  // namespace

void check_exactness(CudaQueue& queue, Arithmetic arithmetic) {
  queue.submit([arithmetic](CudaQueue& own, cudaStream_t) { probe(own, arithmetic); });
  queue.record().synchronize();
}

}  // namespace switchyard::cuda
