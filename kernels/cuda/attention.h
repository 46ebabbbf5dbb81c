// Causal attention over pages.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// cpu::attention, bit for bit.
void attention(CudaQueue& queue, const cpu::AttentionParams& params,
               const cpu::PagedSequences& rows);

}  // namespace switchyard::cuda
