// Ceilings of a GPU: copies by the runtime, products by cuBLAS.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>

#include "kernels/base/error.h"
#include "kernels/cuda/cublas_library.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_error.h"

namespace switchyard {
namespace {

using cuda::check_cublas;
using cuda::check_cuda;

/// Large enough that starting and ending a product take no part of it: 8192 cubed is 1.5 ms of an
/// H100's tensor cores.
constexpr int64_t kDefaultExtent = 8192;
/// Five times an H100's second-level cache.
constexpr int64_t kDefaultBytes = int64_t{256} << 20;

/// A stream with two events around what is timed.
class Timer {
 public:
  Timer() {
    check_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, 0),
               "creating a stream");
    for (cudaEvent_t& event : events_) {
      check_cuda(cudaEventCreateWithFlags(&event, cudaEventDefault), "creating an event");
    }
  }
  ~Timer() {
    for (cudaEvent_t& event : events_) cudaEventDestroy(event);
    cudaStreamDestroy(stream_);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  cudaStream_t stream() const { return stream_; }

  /// The best of `repeats` runs after one that is not counted.
  double best_seconds(int repeats, const std::function<void()>& enqueue) {
    double best = 0.0;
    for (int i = 0; i <= repeats; ++i) {
      check_cuda(cudaEventRecord(events_[0], stream_), "recording an event");
      enqueue();
      check_cuda(cudaEventRecord(events_[1], stream_), "recording an event");
      check_cuda(cudaEventSynchronize(events_[1]), "waiting for a measurement");
      float milliseconds = 0.0f;
      check_cuda(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "reading a time");
      const double seconds = std::max(1e-9, static_cast<double>(milliseconds) / 1e3);
      if (i == 1 || seconds < best) best = seconds;
    }
    return best;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t events_[2] = {};
};

/// Bytes that are numbers of magnitude 1 to 4 or so in bf16 and fp16, and of many in fp32: zeros
/// would let the chip clock higher than work does.
void fill_random(void* to, int64_t bytes) {
  std::mt19937 generator(1);
  std::vector<uint16_t> numbers(1 << 16);
  for (uint16_t& number : numbers) {
    const auto bits = static_cast<uint32_t>(generator());
    number = static_cast<uint16_t>(0x3F80u | (bits & 0x7Fu) | (bits >> 8 & 1u) << 15);
  }
  const auto block = static_cast<int64_t>(numbers.size() * sizeof(uint16_t));
  for (int64_t at = 0; at < bytes; at += block) {
    std::memcpy(static_cast<char*>(to) + at, numbers.data(),
                static_cast<size_t>(std::min(block, bytes - at)));
  }
}

/// One form in which cuBLAS multiplies.
struct ProductForm {
  const char* name;
  const char* how;
  cudaDataType_t type;
  cublasComputeType_t compute;
};

class Products {
 public:
  Products(const cuda::CublasLibrary& library, CudaBackend& backend, Timer& timer,
           const LimitSizes& sizes)
      : library_(library),
        timer_(timer),
        extent_(sizes.extent > 0 ? sizes.extent : kDefaultExtent),
        repeats_(sizes.repeats),
        operand_(backend.allocate(extent_ * extent_ * 4)),
        out_(backend.allocate(extent_ * extent_ * 4)) {
    const HostBuffer numbers = backend.allocate_host(operand_.bytes());
    fill_random(numbers.data(), numbers.bytes());
    check_cuda(
        cudaMemcpyAsync(operand_.data(), numbers.data(), static_cast<size_t>(numbers.bytes()),
                        cudaMemcpyHostToDevice, timer.stream()),
        "copying to the device");
    check_cuda(cudaStreamSynchronize(timer.stream()), "copying to the device");
    check_cublas(library_.create(&handle_), "starting cuBLAS");
    check_cublas(library_.set_stream(handle_, timer.stream()), "giving cuBLAS a stream");
  }
  ~Products() { library_.destroy(handle_); }
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  DeviceLimit measure(const ProductForm& form) {
    const auto n = static_cast<int>(extent_);
    const float one = 1.0f;
    const float zero = 0.0f;
    const double seconds = timer_.best_seconds(repeats_, [&] {
      check_cublas(
          library_.multiply(handle_, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, operand_.data(),
                            form.type, n, operand_.data(), form.type, n, &zero, out_.data(),
                            CUDA_R_32F, n, form.compute, CUBLAS_GEMM_DEFAULT),
          "multiplying matrices");
    });
    const auto extent = static_cast<double>(extent_);
    return {LimitKind::kProducts, form.name, concat(form.how, ", ", extent_, " cubed"),
            2.0 * extent * extent * extent / seconds, seconds};
  }

 private:
  const cuda::CublasLibrary& library_;
  Timer& timer_;
  const int64_t extent_;
  const int repeats_;
  DeviceBuffer operand_, out_;
  cublasHandle_t handle_ = nullptr;
};

}  // namespace

std::vector<DeviceLimit> CudaBackend::measure_limits(const LimitSizes& sizes) {
  choose();
  Timer timer;
  std::vector<DeviceLimit> limits;
  const int64_t bytes = sizes.bytes > 0 ? sizes.bytes : kDefaultBytes;
  const auto measure_copy = [&](LimitKind kind, const char* how, const void* from, void* to,
                                cudaMemcpyKind way, int64_t counted) {
    const double seconds = timer.best_seconds(sizes.repeats, [&] {
      check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), way, timer.stream()),
                 "copying");
    });
    limits.push_back({kind, "", how, static_cast<double>(counted) / seconds, seconds});
  };
  {
    const DeviceBuffer from = allocate(bytes);
    const DeviceBuffer to = allocate(bytes);
    const HostBuffer host = allocate_host(bytes);
    fill_random(host.data(), bytes);
    measure_copy(LimitKind::kHostToDevice, "pinned memory", host.data(), from.data(),
                 cudaMemcpyHostToDevice, bytes);
    measure_copy(LimitKind::kDeviceToHost, "pinned memory", from.data(), host.data(),
                 cudaMemcpyDeviceToHost, bytes);
    measure_copy(LimitKind::kCopy, "cudaMemcpyAsync", from.data(), to.data(),
                 cudaMemcpyDeviceToDevice, 2 * bytes);
  }
  const cuda::CublasLibrary* const library = cuda::cublas_library();
  if (library == nullptr) return limits;
  Products products(*library, *this, timer, sizes);
  for (const ProductForm& form :
       {ProductForm{"fp32", "cuBLAS", CUDA_R_32F, CUBLAS_COMPUTE_32F},
        ProductForm{"tf32", "cuBLAS", CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32},
        ProductForm{"bf16", "cuBLAS, fp32 sums", CUDA_R_16BF, CUBLAS_COMPUTE_32F},
        ProductForm{"fp16", "cuBLAS, fp32 sums", CUDA_R_16F, CUBLAS_COMPUTE_32F}}) {
    limits.push_back(products.measure(form));
  }
  return limits;
}

}  // namespace switchyard
