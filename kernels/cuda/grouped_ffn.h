// The experts of a round.
#pragma once

#include "kernels/cpu/grouped_ffn_driver.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// cpu::grouped_ffn, bit for bit: all up matrices, the hidden units of gated forms, all down
/// matrices.
void grouped_ffn(CudaQueue& queue, const cpu::HostGroupedFfn& args);

}  // namespace switchyard::cuda
