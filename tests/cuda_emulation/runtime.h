// What tests set and ask of the emulated GPUs.
#pragma once

#include <cstdint>

namespace cuda_emulation {

/// Device memory of each GPU; more is refused as a GPU refuses it. 0: as much as the host has.
void set_device_memory(int64_t bytes);
/// Device memory that is allocated now, on all GPUs.
int64_t allocated_bytes();
/// Host memory that may be pinned by cudaHostRegister from now on. Default: any.
void set_pinned_limit(int64_t bytes);
/// Calls of cudaMalloc, cudaMallocAsync, cudaHostAlloc and cudaHostRegister so far.
int64_t num_allocations();
/// Graphs launched so far.
int64_t num_graph_launches();

}  // namespace cuda_emulation
