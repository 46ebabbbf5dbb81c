// The weighted sum of a token's expert outputs.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cpu/combine.h"

namespace switchyard::cuda {

/// cpu::combine, bit for bit.
void combine(cudaStream_t stream, const cpu::CombineParams& params);

}  // namespace switchyard::cuda
