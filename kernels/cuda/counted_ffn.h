// The experts of a round whose rows only the device counts.
#pragma once

#include <cstdint>

#include "kernels/cpu/grouped_ffn_driver.h"
#include "kernels/cuda/cuda_queue.h"
#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {

/// grouped_ffn() with offsets in device memory: as many launches and blocks as the most rows ask
/// for, of which those without rows end at once.
void counted_ffn(CudaQueue& queue, const cpu::GroupedFfnCall& call, const ProductMethod& method);

/// Bytes of scratch that it takes for experts of this shape.
int64_t counted_ffn_scratch_bytes(const WeightSpec& up, const WeightSpec& down, const FfnForm& form,
                                  int64_t most_rows, const ProductMethod& method);

}  // namespace switchyard::cuda
