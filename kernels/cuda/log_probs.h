// Log-softmax over the vocabulary.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cpu/log_probs.h"

namespace switchyard::cuda {

/// Bytes of workspace for log_probs().
int64_t log_probs_scratch_bytes(int64_t num_rows, int64_t vocabulary);

/// cpu::log_probs, bit for bit. A target out of range gives NaN.
void log_probs(cudaStream_t stream, const cpu::LogProbsParams& params, void* scratch);

}  // namespace switchyard::cuda
