// Whether a GPU's tensor cores keep what results are promised to be.
#pragma once

#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {

/// Multiplies random rows alone, a few and many at a time, by weights of one and of several
/// segments, and gives the fastest instructions that give each row the same bits every time. Throws
/// Error(kResource) if none do. `arithmetic` is not kFp32; `compute_capability` as in DeviceFacts.
/// Waits for the queue, which the caller gives up afterwards.
ManyRows fastest_exact_products(CudaQueue& queue, Arithmetic arithmetic, int compute_capability);

}  // namespace switchyard::cuda
