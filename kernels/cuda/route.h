// The choice of experts.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cpu/route.h"

namespace switchyard::cuda {

/// Bytes of workspace for each row of route().
int64_t route_scratch_bytes(const RouterSettings& settings);

/// cpu::route, bit for bit, in one launch.
void route(cudaStream_t stream, const cpu::RouteParams& params, void* scratch);

}  // namespace switchyard::cuda
