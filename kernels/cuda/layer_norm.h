// Layer normalisation.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cpu/layer_norm.h"

namespace switchyard::cuda {

/// cpu::layer_norm, bit for bit.
void layer_norm(cudaStream_t stream, const cpu::LayerNormParams& params);

}  // namespace switchyard::cuda
