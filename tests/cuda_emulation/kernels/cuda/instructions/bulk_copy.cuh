// The emulation's form of kernels/cuda/instructions/bulk_copy.cuh. Copies are made as late as the
// instructions allow, when the first thread waits for their batch.
#pragma once

#include <cstdint>

#include "tests/cuda_emulation/block.h"

namespace switchyard::cuda {

using BulkBarrier = uint64_t;

inline void start_bulk_barrier(BulkBarrier* barrier) {
  cuda_emulation::start_bulk_barrier(barrier);
}
inline void show_bulk_barriers() {}
inline void expect_bulk(BulkBarrier* barrier, int bytes) {
  cuda_emulation::expect_bulk(barrier, static_cast<size_t>(bytes));
}
inline void copy_bulk(void* shared, const void* global, int bytes, BulkBarrier* barrier) {
  cuda_emulation::require(reinterpret_cast<uintptr_t>(shared) % 16 == 0 &&
                              reinterpret_cast<uintptr_t>(global) % 16 == 0 && bytes % 16 == 0,
                          "a bulk copy is not aligned");
  cuda_emulation::copy_bulk(shared, global, static_cast<size_t>(bytes), barrier);
}
inline void wait_for_bulk(BulkBarrier* barrier, int parity) {
  cuda_emulation::wait_for_bulk(barrier, parity);
}

}  // namespace switchyard::cuda
