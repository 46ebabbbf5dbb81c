// What the emulation has of cuBLAS: products of column-major matrices with fp32 sums, the left one
// transposed.
#pragma once

#include "kernels/base/dtype.h"
#include "tests/cuda_emulation/cuda_runtime.h"

enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cudaDataType_t { CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32 };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT };

struct cublasContext {
  cudaStream_t stream = nullptr;
};
using cublasHandle_t = cublasContext*;

inline cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

namespace cuda_emulation {
inline float element_of(const void* matrix, cudaDataType_t type, size_t i) {
  if (type == CUDA_R_32F) return static_cast<const float*>(matrix)[i];
  const uint16_t bits = static_cast<const uint16_t*>(matrix)[i];
  return type == CUDA_R_16F ? switchyard::f16_to_f32(bits) : switchyard::bf16_to_f32(bits);
}
}  // namespace cuda_emulation

inline cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t left,
                                   cublasOperation_t right, int m, int n, int k, const void* alpha,
                                   const void* a, cudaDataType_t a_type, int lda, const void* b,
                                   cudaDataType_t b_type, int ldb, const void* beta, void* c,
                                   cudaDataType_t c_type, int ldc, cublasComputeType_t,
                                   cublasGemmAlgo_t) {
  if (left != CUBLAS_OP_T || right != CUBLAS_OP_N || c_type != CUDA_R_32F ||
      *static_cast<const float*>(alpha) != 1.0f || *static_cast<const float*>(beta) != 0.0f) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  cuda_emulation::enqueue(handle->stream, [=] {
    for (int column = 0; column < n; ++column) {
      for (int row = 0; row < m; ++row) {
        float sum = 0.0f;
        for (int i = 0; i < k; ++i) {
          sum += cuda_emulation::element_of(a, a_type, static_cast<size_t>(row) * lda + i) *
                 cuda_emulation::element_of(b, b_type, static_cast<size_t>(column) * ldb + i);
        }
        static_cast<float*>(c)[static_cast<size_t>(column) * ldc + row] = sum;
      }
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}
