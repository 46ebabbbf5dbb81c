// Finding a block's job.
#pragma once

#include "kernels/cuda/job_batch.h"

namespace switchyard::cuda {

/// The job that a block belongs to.
template <typename Job>
__device__ const Job& job_of_block(const JobBatch<Job>& batch) {
  int low = 0;
  int high = batch.num_jobs;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (batch.jobs[middle].first_block <= blockIdx.x) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return batch.jobs[low];
}

}  // namespace switchyard::cuda
