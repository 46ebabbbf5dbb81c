// Finding a block's job, and jobs whose rows the device counts.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cuda/job_batch.h"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {

/// Whether the block has a job.
template <typename Job>
__device__ bool has_work(const JobBatch<Job>& batch) {
  return batch.live_blocks == nullptr || blockIdx.x < *batch.live_blocks;
}

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

/// How the rows of a job are cut into blocks.
struct RowCut {
  int64_t rows_per_tile;
  int64_t blocks_per_tile;
};

/// Gives a job its rows of those that `all` has. Partial sums, where it has a place for them, stand
/// as the rows do. Done again, as in a graph that is launched again, it is as if done once.
template <typename Job>
__device__ void take_rows(Job& job, const Job& all, int64_t first_row, int64_t num_rows,
                          const RowCut& cut) {
  job.job.x = all.job.x + first_row * all.job.x_stride;
  job.job.out = all.job.out + first_row * all.job.out_stride;
  job.job.num_rows = num_rows;
  job.row_tiles = (num_rows + cut.rows_per_tile - 1) / cut.rows_per_tile;
  if constexpr (requires { job.partial; }) {
    if (all.partial != nullptr) {
      job.partial = all.partial + all.segments.count * first_row * all.job.w.spec.rows;
    }
  }
}

/// One block: a thread a job finds its rows and its first block.
template <typename Job>
__global__ void count_jobs_kernel(Job* jobs, int num_jobs, Job all, const int32_t* offsets,
                                  RowCut cut, int64_t* live_blocks) {
  const auto tiles_of = [&](int job) {
    return (offsets[job + 1] - offsets[job] + cut.rows_per_tile - 1) / cut.rows_per_tile;
  };
  for (int i = static_cast<int>(threadIdx.x); i < num_jobs; i += static_cast<int>(blockDim.x)) {
    int64_t tiles = 0;
    for (int other = 0; other < i; ++other) tiles += tiles_of(other);
    jobs[i].first_block = tiles * cut.blocks_per_tile;
    take_rows(jobs[i], all, offsets[i], offsets[i + 1] - offsets[i], cut);
    if (i == num_jobs - 1) *live_blocks = (tiles + tiles_of(i)) * cut.blocks_per_tile;
  }
}

/// Uploads a job for each group. All are alike but for their weights, have all groups' first row,
/// and get their own ones here. The launch has as many blocks as any counts ask for.
template <typename Job>
JobBatch<Job> make_counted_batch(CudaQueue& queue, const std::vector<Job>& jobs,
                                 const CountedGroups& groups, const RowCut& cut) {
  const auto num_jobs = static_cast<int64_t>(jobs.size());
  // The number of blocks stands behind the jobs.
  std::vector<char> bytes(jobs.size() * sizeof(Job) + sizeof(int64_t));
  static_assert(sizeof(Job) % alignof(int64_t) == 0);
  std::memcpy(bytes.data(), jobs.data(), jobs.size() * sizeof(Job));
  auto* const uploaded =
      static_cast<Job*>(queue.upload(bytes.data(), static_cast<int64_t>(bytes.size())));
  JobBatch<Job> batch;
  batch.jobs = uploaded;
  batch.num_jobs = static_cast<int>(num_jobs);
  // A tile of each group that has rows may be half empty.
  batch.num_blocks = (groups.most_rows / cut.rows_per_tile + std::min(num_jobs, groups.most_rows)) *
                     cut.blocks_per_tile;
  check_blocks(batch.num_blocks);
  auto* const live_blocks = reinterpret_cast<int64_t*>(uploaded + num_jobs);
  batch.live_blocks = live_blocks;
  launch(count_jobs_kernel<Job>, {1, 256}, queue.stream(), uploaded, batch.num_jobs, jobs.front(),
         groups.offsets, cut, live_blocks);
  return batch;
}

}  // namespace switchyard::cuda
