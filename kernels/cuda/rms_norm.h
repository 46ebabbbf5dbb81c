// Normalisation of heads by their root mean square.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cpu/rms_norm.h"

namespace switchyard::cuda {

/// cpu::rms_norm, bit for bit.
void rms_norm(cudaStream_t stream, const cpu::RmsNormParams& params);

}  // namespace switchyard::cuda
