// Search for infinities and NaN.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cpu/finite.h"

namespace switchyard::cuda {

/// cpu::find_non_finite.
void find_non_finite(cudaStream_t stream, const cpu::FindNonFiniteParams& params);

}  // namespace switchyard::cuda
