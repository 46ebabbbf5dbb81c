// What an expert's capacity drops.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cpu/capacity.h"

namespace switchyard::cuda {

/// cpu::apply_capacity of `num_batches` batches, which are in device memory like `order`, a
/// workspace of as many numbers as there are rows (used by SlotOrder::kProbability) and `taken`,
/// [num_batches, num_experts].
void apply_capacity(cudaStream_t stream, const cpu::CapacityParams& params,
                    const CapacityBatch* batches, int64_t num_batches, int64_t num_rows,
                    int32_t* order, int32_t* taken);

}  // namespace switchyard::cuda
