#include "kernels/cuda/pinned_memory.h"

#include <cuda_runtime.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/cuda/cuda_error.h"

namespace switchyard::cuda {
namespace {

/// Prefers pages of one node for memory that nobody has touched yet. A wish: where it cannot be
/// had, pages come from elsewhere.
void prefer_node(void* data, int64_t bytes, int numa_node) {
  constexpr int kMostNodes = 64;
  if (numa_node < 0 || numa_node >= kMostNodes) return;
  const unsigned long mask = 1ul << numa_node;
  syscall(SYS_mbind, data, static_cast<unsigned long>(bytes), MPOL_PREFERRED, &mask,
          static_cast<unsigned long>(kMostNodes + 1), 0u);
}

/// GB/s of copying `bytes` bytes to the device, the better of two times.
double copy_rate(const char* from, int64_t bytes, void* device) {
  double best = 0.0;
  for (int i = 0; i < 2; ++i) {
    const double begin = steady_seconds();
    check_cuda(cudaMemcpyAsync(device, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                               cudaStreamPerThread),
               "copying to the device");
    check_cuda(cudaStreamSynchronize(cudaStreamPerThread), "waiting for a copy");
    best = std::max(best, static_cast<double>(bytes) / (steady_seconds() - begin) * 1e-9);
  }
  return best;
}

}  // namespace

PinnedMemory::PinnedMemory(int64_t bytes, int numa_node) : bytes_(bytes) {
  // Memory of several steps begins at a multiple of them. What that skips is never touched.
  mapped_bytes_ = bytes > kPinStep ? bytes + kPinStep : bytes;
  mapped_ = mmap(nullptr, static_cast<size_t>(mapped_bytes_), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped_ == MAP_FAILED) {
    fail_resource("no ", format_byte_size(bytes), " of host memory for experts are free");
  }
  data_ = static_cast<char*>(mapped_);
  if (bytes > kPinStep)
    data_ += -static_cast<int64_t>(reinterpret_cast<uintptr_t>(data_)) & (kPinStep - 1);
  madvise(data_, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  prefer_node(data_, bytes, numa_node);
  pin();
  if (pinned_bytes_ < bytes_) tell_speeds();
}

void PinnedMemory::pin() {
  const double begin = steady_seconds();
  while (pinned_bytes_ < bytes_) {
    const int64_t step = std::min(kPinStep, bytes_ - pinned_bytes_);
    if (cudaHostRegister(data_ + pinned_bytes_, static_cast<size_t>(step),
                         cudaHostRegisterPortable) != cudaSuccess) {
      cudaGetLastError();
      return;
    }
    pinned_bytes_ += step;
    if (bytes_ > kPinStep) {
      log_info("pinned ", format_byte_size(pinned_bytes_), " of ", format_byte_size(bytes_),
               " of host memory for experts, ",
               format_byte_size(static_cast<int64_t>(static_cast<double>(pinned_bytes_) /
                                                     (steady_seconds() - begin))),
               "/s");
    }
  }
}

void PinnedMemory::tell_speeds() const {
  constexpr int64_t kTrialBytes = int64_t{64} << 20;
  const int64_t pageable = std::min(kTrialBytes, bytes_ - pinned_bytes_);
  const int64_t pinned = std::min(kTrialBytes, pinned_bytes_);
  void* device = nullptr;
  check_cuda(cudaMalloc(&device, static_cast<size_t>(std::max(pageable, pinned))),
             "allocating device memory");
  std::string speeds;
  try {
    if (pinned > 0) speeds = concat("pinned ", copy_rate(data_, pinned, device), " GB/s, ");
    speeds += concat("not pinned ", copy_rate(data_ + pinned_bytes_, pageable, device), " GB/s");
  } catch (...) {
    cudaFree(device);
    throw;
  }
  cudaFree(device);
  log_warning("the system lets ", format_byte_size(pinned_bytes_), " of ", format_byte_size(bytes_),
              " of the experts' host memory be pinned; copies to the GPU: ", speeds,
              ". Raise the limit of locked memory (ulimit -l, LimitMEMLOCK) or lower "
              "--host-budget");
}

PinnedMemory::~PinnedMemory() {
  for (int64_t at = 0; at < pinned_bytes_; at += kPinStep) cudaHostUnregister(data_ + at);
  munmap(mapped_, static_cast<size_t>(mapped_bytes_));
}

}  // namespace switchyard::cuda
