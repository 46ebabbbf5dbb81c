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
};

/// Uploads jobs, which have blocks_of(job) blocks each.
template <typename Job, typename BlocksOf>
JobBatch<Job> make_batch(CudaQueue& queue, std::vector<Job>& jobs, const BlocksOf& blocks_of) {
  JobBatch<Job> batch;
  for (Job& job : jobs) {
    job.first_block = batch.num_blocks;
    batch.num_blocks += blocks_of(job);
  }
  SWITCHYARD_CHECK(batch.num_blocks <= INT32_MAX, batch.num_blocks, " blocks of products");
  batch.jobs = queue.upload(jobs);
  batch.num_jobs = static_cast<int>(jobs.size());
  return batch;
}

}  // namespace switchyard::cuda
