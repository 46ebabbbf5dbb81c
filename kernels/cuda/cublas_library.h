// cuBLAS, found when it is first asked for: the library takes hundreds of megabytes, and programs
// that run on processors only, or on machines without it, should not load it.
#pragma once

#include <cublas_v2.h>

#include "kernels/base/error.h"

namespace switchyard::cuda {

/// The functions that are used, as cublas_v2.h declares them.
struct CublasLibrary {
  decltype(&cublasCreate) create = nullptr;
  decltype(&cublasDestroy) destroy = nullptr;
  decltype(&cublasSetStream) set_stream = nullptr;
  /// cublasGemmEx, which C++ knows twice.
  cublasStatus_t (*multiply)(cublasHandle_t handle, cublasOperation_t left, cublasOperation_t right,
                             int m, int n, int k, const void* alpha, const void* a,
                             cudaDataType_t a_type, int lda, const void* b, cudaDataType_t b_type,
                             int ldb, const void* beta, void* c, cudaDataType_t c_type, int ldc,
                             cublasComputeType_t compute, cublasGemmAlgo_t algorithm) = nullptr;
};

/// Throws Error(kResource) saying `what` unless a call succeeded.
inline void check_cublas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail_resource(what, ": cuBLAS gave status ", static_cast<int>(status));
}

/// Null where the machine has no cuBLAS of the toolkit's major version. Thread-safe.
const CublasLibrary* cublas_library();

}  // namespace switchyard::cuda
