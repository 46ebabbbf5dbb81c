#include "kernels/cuda/exactness_probe.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/error.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/packing.h"
#include "kernels/cuda/tensor_plan.h"

namespace switchyard::cuda {
namespace {

constexpr int64_t kOutputs = 64;
/// By tensor_segments() one segment and three.
constexpr int64_t kInputs[] = {256, 768};
/// Rows of a call: tiles of every form, whole and in part.
constexpr int64_t kRows[] = {1, 5, 40, 67, 256};
constexpr int64_t kMostRows = 256;

/// Of many magnitudes: how small a term is lost beside a large one is what could differ.
std::vector<float> random_numbers(int64_t count) {
  std::mt19937 generator(1);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& number : out) {
    const auto bits = static_cast<uint32_t>(generator());
    const float fraction = static_cast<float>(bits >> 8) * 0x1p-23f - 1.0f;
    number = std::ldexp(fraction, static_cast<int>(bits % 13) - 6);
  }
  return out;
}

std::vector<uint16_t> rounded(const std::vector<float>& numbers, Arithmetic arithmetic) {
  std::vector<uint16_t> out;
  out.reserve(numbers.size());
  for (const float x : numbers) {
    out.push_back(arithmetic == Arithmetic::kBf16 ? f32_to_bf16(x) : f32_to_f16(x));
  }
  return out;
}

/// Products of one weight.
class Probe {
 public:
  Probe(CudaQueue& queue, Arithmetic arithmetic, int64_t inputs)
      : queue_(queue), arithmetic_(arithmetic) {
    const WeightSpec spec{arithmetic == Arithmetic::kBf16 ? DType::kBF16 : DType::kF16, kOutputs,
                          inputs};
    x_ = queue.upload(random_numbers(kMostRows * inputs));
    // Any numbers are packed panels of some matrix.
    const int64_t count = packed_bytes(spec, {.arithmetic = arithmetic}) / size_of(spec.dtype);
    weight_ = {spec,
               const_cast<uint16_t*>(queue.upload(rounded(random_numbers(count), arithmetic)))};
  }

  /// Whether rows have the same bits in calls of all sizes as in calls of few rows.
  bool is_exact(ManyRows many_rows) {
    std::vector<float> expected;
    for (int64_t row = 0; row < kMostRows; row += kFewTensorRows) {
      const std::vector<float> part = multiply(row, kFewTensorRows, many_rows);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    for (const int64_t count : kRows) {
      const int64_t first = kMostRows - count;
      const std::vector<float> part = multiply(first, count, many_rows);
      if (std::memcmp(part.data(), expected.data() + first * kOutputs,
                      part.size() * sizeof(float)) != 0) {
        return false;
      }
    }
    return true;
  }

 private:
  /// Rows [first, first + count) of the result, by one call.
  std::vector<float> multiply(int64_t first, int64_t count, ManyRows many_rows) {
    cpu::HostMatmul job;
    job.x = x_ + first * weight_.spec.cols;
    job.num_rows = count;
    job.w = weight_;
    const ProductMethod method{arithmetic_, many_rows};
    std::vector<float> out(static_cast<size_t>(count * kOutputs));
    const auto out_bytes = static_cast<int64_t>(out.size() * sizeof(float));
    const int64_t most = tensor_scratch_bound(weight_.spec, count, 1, method);
    auto* const scratch = static_cast<char*>(queue_.scratch(out_bytes + most));
    job.out = reinterpret_cast<float*>(scratch);
    // What a kernel leaves out is no number.
    check_cuda(cudaMemsetAsync(job.out, 0xFF, static_cast<size_t>(out_bytes), queue_.stream()),
               "clearing device memory");
    TensorPlan(plain_products({job}), method).run(queue_, scratch + out_bytes);
    check_cuda(cudaMemcpyAsync(out.data(), job.out, static_cast<size_t>(out_bytes),
                               cudaMemcpyDeviceToHost, queue_.stream()),
               "copying from the device");
    check_cuda(cudaStreamSynchronize(queue_.stream()), "waiting for products");
    return out;
  }

  CudaQueue& queue_;
  const Arithmetic arithmetic_;
  const float* x_ = nullptr;
  Weight weight_;
};

bool is_exact(CudaQueue& queue, const ProductMethod& method) {
  for (const int64_t inputs : kInputs) {
    if (!Probe(queue, method.arithmetic, inputs).is_exact(method.many_rows)) return false;
  }
  return true;
}

ManyRows fastest_exact(CudaQueue& queue, Arithmetic arithmetic, int compute_capability) {
  if (compute_capability == kWarpgroupCapability &&
      is_exact(queue, {arithmetic, ManyRows::kWarpgroups})) {
    return ManyRows::kWarpgroups;
  }
  if (!is_exact(queue, {arithmetic, ManyRows::kWarps})) {
    fail_resource(
        "the tensor cores of this GPU give a row other numbers among few rows than among many; "
        "choose --numerics cpu-fp32");
  }
  return ManyRows::kWarps;
}

}  // namespace

ManyRows fastest_exact_products(CudaQueue& queue, Arithmetic arithmetic, int compute_capability) {
  auto fastest = ManyRows::kWarps;
  queue.submit([&fastest, arithmetic, compute_capability](CudaQueue& own, cudaStream_t) {
    fastest = fastest_exact(own, arithmetic, compute_capability);
  });
  queue.record().synchronize();
  return fastest;
}

}  // namespace switchyard::cuda
