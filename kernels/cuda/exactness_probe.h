// Whether a GPU's tensor cores keep what results are promised to be.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// Multiplies random rows alone, a few and many at a time, by a weight that is cut into segments.
/// Throws Error(kResource) unless each row has the same bits every time. `arithmetic` is not
/// kFp32. Waits for the queue, which the caller gives up afterwards.
void check_exactness(CudaQueue& queue, Arithmetic arithmetic);

}  // namespace switchyard::cuda
