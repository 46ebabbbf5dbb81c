#include "kernels/cuda/upload_ring.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/cuda_error.h"

namespace switchyard::cuda {
namespace {

// Page tables and row offsets of a step take kilobytes.
constexpr int64_t kFirstBytes = int64_t{1} << 18;
constexpr int64_t kAlignment = 256;

}  // namespace

UploadRing::~UploadRing() {
  outgrown_.insert(outgrown_.end(), halves_.begin(), halves_.end());
  for (const Half& half : outgrown_) {
    if (half.host != nullptr) cudaFreeHost(half.host);
    if (half.device != nullptr) cudaFree(half.device);
    if (half.copied != nullptr) cudaEventDestroy(half.copied);
  }
}

void UploadRing::grow(int64_t bytes) {
  outgrown_.insert(outgrown_.end(), halves_.begin(), halves_.end());
  halves_ = {};
  half_bytes_ = std::max(kFirstBytes, 2 * bytes);
  const auto size = static_cast<size_t>(half_bytes_);
  for (Half& half : halves_) {
    check_cuda(cudaHostAlloc(reinterpret_cast<void**>(&half.host), size, cudaHostAllocDefault),
               "allocating pinned memory");
    check_cuda(cudaMalloc(reinterpret_cast<void**>(&half.device), size),
               "allocating device memory");
    check_cuda(cudaEventCreateWithFlags(&half.copied, cudaEventDisableTiming), "making an event");
  }
  current_ = 0;
  used_ = 0;
}

void* UploadRing::upload(cudaStream_t stream, const void* host, int64_t bytes) {
  if (bytes == 0) return nullptr;
  if (bytes > half_bytes_) grow(bytes);
  if (used_ + bytes > half_bytes_) {
    check_cuda(cudaEventRecord(halves_[current_].copied, stream), "recording an event");
    current_ = 1 - current_;
    used_ = 0;
    check_cuda(cudaEventSynchronize(halves_[current_].copied), "waiting for an event");
  }
  const Half& half = halves_[current_];
  char* const staged = half.host + used_;
  char* const device = half.device + used_;
  used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  std::memcpy(staged, host, static_cast<size_t>(bytes));
  check_cuda(
      cudaMemcpyAsync(device, staged, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream),
      "copying arguments to the device");
  return device;
}

}  // namespace switchyard::cuda
