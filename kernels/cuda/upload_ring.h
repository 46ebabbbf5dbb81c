// Small host data on its way to a GPU.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <vector>

namespace switchyard::cuda {

/// Copies host data through pinned memory to device memory in a stream's order. Two halves take
/// turns: one is filled while copies out of the other may still be under way. Used by one thread at
/// a time, for one stream.
class UploadRing {
 public:
  UploadRing() = default;
  ~UploadRing();
  UploadRing(const UploadRing&) = delete;
  UploadRing& operator=(const UploadRing&) = delete;

  /// Device memory that holds a copy of `bytes` bytes once the stream comes to what is enqueued
  /// next; valid for work enqueued before two more halves are filled. Throws Error(kResource).
  void* upload(cudaStream_t stream, const void* host, int64_t bytes);

 private:
  struct Half {
    char* host = nullptr;
    char* device = nullptr;
    cudaEvent_t copied = nullptr;
  };

  void grow(int64_t bytes);

  std::array<Half, 2> halves_;
  std::vector<Half> outgrown_;  // still in use by enqueued work; together smaller than halves_
  int64_t half_bytes_ = 0;
  size_t current_ = 0;
  int64_t used_ = 0;  // of the current half
};

}  // namespace switchyard::cuda
