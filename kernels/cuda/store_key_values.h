// Keys and values on their way into pages.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// cpu::store_key_values: pages have the CPU's layout.
void store_key_values(CudaQueue& queue, const cpu::StoreKeyValuesParams& params,
                      const cpu::PagedSequences& rows);

}  // namespace switchyard::cuda
