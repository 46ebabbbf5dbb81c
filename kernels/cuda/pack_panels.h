// Panels of 32 outputs, packed by the GPU.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/weight.h"

namespace switchyard::cuda {

/// cpu::pack_rows, of rows in device memory.
void pack_panels(cudaStream_t stream, const void* rows, int64_t first_row, int64_t num_rows,
                 const Weight& weight);

}  // namespace switchyard::cuda
