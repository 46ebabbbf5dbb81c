// The draw of tokens.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cpu/sample.h"

namespace switchyard::cuda {

/// What sample() finds in device memory.
struct SampleCall {
  const float* logits;  // [num_rows, vocabulary]
  int64_t vocabulary;
  const SampleSettings* rows;    // [num_rows]
  const int32_t* banned_ids[2];  // as SampleParams::banned_ids
  int64_t num_banned[2];
  int32_t* tokens;  // [num_rows]
  int64_t num_rows;
};

/// Bytes of workspace for sample().
int64_t sample_scratch_bytes(int64_t num_rows, int64_t vocabulary);

/// cpu::sample: odds are whole numbers, so that no order of addition matters.
void sample(cudaStream_t stream, const SampleCall& call, void* scratch);

}  // namespace switchyard::cuda
