// What this machine can do at most, measured by the plainest loops.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "kernels/base/thread_pool.h"

namespace switchyard {

/// The two below on so many threads, as Backend::measure_limits().
std::vector<DeviceLimit> measure_machine_limits(InstructionSet set, int num_threads,
                                                const LimitSizes& sizes);

/// Fused multiply-adds on registers only, on all threads of the pool: fp32 operations a second
/// (a multiply-add counts as two), the best of several runs.
double measure_fma_peak(InstructionSet set, ThreadPool& pool);

/// Reading memory once: bytes a second of all threads together, each reading as many streams of
/// `bytes` / threads as serve best (1, 2, 4 or 8), the best of several runs.
double measure_read_bandwidth(ThreadPool& pool, const void* data, int64_t bytes);

/// Bytes of the last-level cache, or a guess of 32 MiB where the system does not tell.
int64_t last_level_cache_bytes();

}  // namespace switchyard
