// Copies from global to shared memory that run beside computing: cp.async of PTX ISA 7.0, sm_80.
#pragma once

#include <cstdint>

namespace switchyard::cuda {

/// The address of shared memory as instructions take it.
__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Copies 16 bytes; both addresses are multiples of 16. Past the first-level cache: what streams
/// through once would push out what is used again.
__device__ inline void copy_async_16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(shared_address(shared)),
               "l"(global)
               : "memory");
}

/// The copies so far that no group has form one.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

/// Waits until all but the kLeft last groups of this thread are there.
template <int kLeft>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kLeft) : "memory");
}

}  // namespace switchyard::cuda
