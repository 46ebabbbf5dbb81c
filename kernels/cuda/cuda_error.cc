#include "kernels/cuda/cuda_error.h"

#include "kernels/base/error.h"

namespace switchyard::cuda {

void check_cuda(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  // A refused call leaves its error behind for the next one to find.
  cudaGetLastError();
  fail_resource("CUDA: ", what, ": ", cudaGetErrorString(status), " (", static_cast<int>(status),
                ")");
}

}  // namespace switchyard::cuda
