// Copies of whole tiles from global to shared memory by the tensor memory accelerator: one thread
// asks, the hardware copies and counts the bytes that are there. cp.async.bulk and mbarrier of the
// PTX ISA (sections 9.7.9.25.4 and 9.7.13.15), sm_90 and up.
#pragma once

#include <cstdint>

#include "kernels/cuda/instructions/async_copy.cuh"

namespace switchyard::cuda {

/// In shared memory: counts the bytes of one batch of copies after the other. Batch n has the
/// parity n % 2.
using BulkBarrier = uint64_t;

/// Once for each, by one thread, before a barrier of all that use it.
__device__ inline void start_bulk_barrier(BulkBarrier* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
}
/// After the last start_bulk_barrier(), by the same thread: the accelerator sees them.
__device__ inline void show_bulk_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// The next batch of copies has so many bytes, below 1 MiB. By the thread that makes them, before
/// them.
__device__ inline void expect_bulk(BulkBarrier* barrier, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}
/// Copies `bytes` bytes; they and both addresses are multiples of 16.
__device__ inline void copy_bulk(void* shared, const void* global, int bytes,
                                 BulkBarrier* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(shared)),
      "l"(global), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

/// Waits until the batch of this parity is there. No thread may be two batches behind.
__device__ inline void wait_for_bulk(BulkBarrier* barrier, int parity) {
  uint32_t is_there = 0;
  do {
    asm volatile(
        "{ .reg .pred done; mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2; "
        "selp.u32 %0, 1, 0, done; }"
        : "=r"(is_there)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  } while (is_there == 0);
  __syncwarp();  // before a barrier, which warps come to as one
}

}  // namespace switchyard::cuda
