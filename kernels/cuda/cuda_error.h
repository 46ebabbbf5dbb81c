// Errors of the CUDA runtime.
#pragma once

#include <cuda_runtime.h>

namespace switchyard::cuda {

/// Throws Error(kResource) "<what>: <CUDA's words>" unless `status` is cudaSuccess.
void check_cuda(cudaError_t status, const char* what);

}  // namespace switchyard::cuda
