// The GPU's forms of a weight matrix.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// "panel32-1", the CPU's form, for every arithmetic: one packed checkpoint serves all.
std::string_view packing_name(Arithmetic arithmetic);

/// Bytes of a packed matrix, a multiple of 64. Throws Error(kInput) for a type that no matrix has.
int64_t packed_bytes(const WeightSpec& spec, Arithmetic arithmetic);

/// See Backend::pack_weight. `host_rows` is read when the stream comes to it.
void pack_rows(CudaQueue& queue, const void* host_rows, int64_t first_row, int64_t num_rows,
               const Weight& weight, Arithmetic arithmetic);

}  // namespace switchyard::cuda
