// Products by cuBLAS, which chooses how: for --numerics fast.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "kernels/backend.h"
#include "kernels/cuda/cublas_library.h"

namespace switchyard::cuda {

/// One product in fp32 sums: out[num_rows][n] = rows[num_rows][k] weights[n][k]^T.
struct LibraryProduct {
  const void* weights = nullptr;   // 16-bit, row-major
  const uint16_t* rows = nullptr;  // rounded, row-major
  int64_t num_rows = 0;
  int64_t n = 0;
  int64_t k = 0;
  float* out = nullptr;
  int64_t out_stride = 0;
};

/// cuBLAS with a handle for each stream that asks. Thread-safe.
class LibraryProducts {
 public:
  /// Device memory that cuBLAS takes for a stream, by its documentation on compute capability 9.0.
  static constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;

  /// Throws Error(kUsage) where the machine has no cuBLAS.
  LibraryProducts();
  ~LibraryProducts();
  LibraryProducts(const LibraryProducts&) = delete;
  LibraryProducts& operator=(const LibraryProducts&) = delete;

  /// Enqueues a product of bf16 or fp16 numbers.
  void multiply(cudaStream_t stream, Arithmetic arithmetic, const LibraryProduct& product);

 private:
  cublasHandle_t handle_of(cudaStream_t stream);

  const CublasLibrary& library_;
  std::mutex mutex_;
  std::map<cudaStream_t, cublasHandle_t> handles_;  // guarded by mutex_
};

}  // namespace switchyard::cuda
