// Starting kernels, and their dynamic shared memory.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <utility>

#include "kernels/cuda/cuda_error.h"

namespace switchyard::cuda {

/// How many blocks of how many threads run a kernel, with how much dynamic shared memory.
struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
};

/// What kernels were allowed on each GPU, so that the driver is asked once, and never for less than
/// another thread is about to use. Thread-safe.
class SharedBytesAllowed {
 public:
  /// Calls allow() where `kernel` has been allowed less on the calling thread's GPU.
  template <typename Allow>
  void raise(const void* kernel, size_t bytes, const Allow& allow) {
    int device = 0;
    check_cuda(cudaGetDevice(&device), "finding the GPU in use");
    const std::lock_guard lock(mutex_);
    size_t& allowed = bytes_[{device, kernel}];
    if (bytes <= allowed) return;
    allow();
    allowed = bytes;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<int, const void*>, size_t> bytes_;  // guarded by mutex_
};

/// A block has 48 KiB without being asked, what a kernel declares for itself included, which is
/// less than a third of it in every kernel here. More has to be allowed for each kernel.
inline constexpr size_t kDefaultSharedBytes = 32 * 1024;

/// Enqueues kernel(args...). An empty grid enqueues nothing. Throws Error(kResource) naming the
/// kernel where the device refuses.
template <typename... Params, typename... Args>
void launch(void (*kernel)(Params...), const LaunchShape& shape, cudaStream_t stream,
            Args&&... args) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  if (shape.shared_bytes > kDefaultSharedBytes) {
    static SharedBytesAllowed allowed;  // of kernels with these parameters
    allowed.raise(reinterpret_cast<const void*>(kernel), shape.shared_bytes, [&] {
      check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shape.shared_bytes)),
                 "allowing a kernel its shared memory");
    });
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...), "starting a kernel");
}

/// Blocks of `size` that cover `count`.
constexpr unsigned blocks_for(int64_t count, int64_t size) {
  return static_cast<unsigned>((count + size - 1) / size);
}

}  // namespace switchyard::cuda

#include "kernels/cuda/instructions/shared_memory.cuh"
