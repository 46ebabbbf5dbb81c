#include "kernels/cuda/library_products.h"

#include "kernels/base/error.h"

namespace switchyard::cuda {
namespace {

const CublasLibrary& found_library() {
  const CublasLibrary* const library = cublas_library();
  if (library == nullptr) {
    fail_usage(
        "--numerics fast: this machine has no libcublas.so of the toolkit's major version; put it "
        "on LD_LIBRARY_PATH, or choose an exact class");
  }
  return *library;
}

}  // namespace

LibraryProducts::LibraryProducts() : library_(found_library()) {}

LibraryProducts::~LibraryProducts() {
  for (const auto& [stream, handle] : handles_) library_.destroy(handle);
}

cublasHandle_t LibraryProducts::handle_of(cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  cublasHandle_t& handle = handles_[stream];
  if (handle == nullptr) {
    check_cublas(library_.create(&handle), "starting cuBLAS");
    check_cublas(library_.set_stream(handle, stream), "giving cuBLAS a stream");
  }
  return handle;
}

void LibraryProducts::multiply(cudaStream_t stream, Arithmetic arithmetic,
                               const LibraryProduct& product) {
  const float one = 1.0f;
  const float zero = 0.0f;
  const cudaDataType_t type = arithmetic == Arithmetic::kBf16 ? CUDA_R_16BF : CUDA_R_16F;
  const auto k = static_cast<int>(product.k);
  // It counts columns first: its result [n, num_rows] is ours transposed.
  check_cublas(library_.multiply(handle_of(stream), CUBLAS_OP_T, CUBLAS_OP_N,
                                 static_cast<int>(product.n), static_cast<int>(product.num_rows), k,
                                 &one, product.weights, type, k, product.rows, type, k, &zero,
                                 product.out, CUDA_R_32F, static_cast<int>(product.out_stride),
                                 CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
               "multiplying matrices");
}

}  // namespace switchyard::cuda
