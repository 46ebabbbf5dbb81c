// Jobs that share a launch: each has a run of neighbouring blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// Job has first_block, the first of its blocks.
template <typename Job>
struct JobBatch {
  const Job* jobs = nullptr;  // in device memory
  int num_jobs = 0;
  int64_t num_blocks = 0;
  /// In device memory: how many blocks have work, where only the device knows; null: all.
  const int64_t* live_blocks = nullptr;
};

/// Groups of rows that only the device counts: group g is rows [offsets[g], offsets[g + 1]).
struct CountedGroups {
  const int32_t* offsets = nullptr;  // [groups + 1], in device memory
  int64_t most_rows = 0;             // of all groups together
};

inline void check_blocks(int64_t blocks) {
  SWITCHYARD_CHECK(blocks <= INT32_MAX, blocks, " blocks of products");
}

/// Uploads jobs, which have blocks_of(job) blocks each.
template <typename Job, typename BlocksOf>
JobBatch<Job> make_batch(CudaQueue& queue, std::vector<Job>& jobs, const BlocksOf& blocks_of) {
  JobBatch<Job> batch;
  for (Job& job : jobs) {
    job.first_block = batch.num_blocks;
    batch.num_blocks += blocks_of(job);
  }
  check_blocks(batch.num_blocks);
  batch.jobs = queue.upload(jobs);
  batch.num_jobs = static_cast<int>(jobs.size());
  return batch;
}

}  // namespace switchyard::cuda
