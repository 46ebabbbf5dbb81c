// The emulation's cuBLAS is always there.
#include "kernels/cuda/cublas_library.h"

namespace switchyard::cuda {

const CublasLibrary* cublas_library() {
  static const CublasLibrary library = {&cublasCreate, &cublasDestroy, &cublasSetStream,
                                        &cublasGemmEx};
  return &library;
}

}  // namespace switchyard::cuda
