// The experts of a round.
#pragma once

#include "kernels/cpu/grouped_ffn_driver.h"
#include "kernels/cuda/cuda_queue.h"
#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {

/// All up matrices, the hidden units of gated forms, all down matrices. With kFp32 bit for bit
/// cpu::grouped_ffn.
void grouped_ffn(CudaQueue& queue, const cpu::HostGroupedFfn& args, const ProductMethod& method);

}  // namespace switchyard::cuda
