// Rows of an exchange whose counts only the device knows.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cpu/padded_slots.h"

namespace switchyard::cuda {

// The operations of the same names in kernels/cpu. Where those report an internal error, an expert
// out of range has no place.

void place_copies(cudaStream_t stream, const cpu::PlaceCopiesParams& params);
void group_arrivals(cudaStream_t stream, const cpu::GroupArrivalsParams& params);

}  // namespace switchyard::cuda
