// Which part of a product a block has, and what becomes of its sums.
#pragma once

#include "kernels/cpu/activate_impl.h"
#include "kernels/cuda/job_batch.cuh"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {

/// Where a block works.
struct TensorPlace {
  int64_t first_row;
  int64_t column;  // in tiles of outputs
  int64_t first_segment;
  int64_t end_segment;
};

/// Blocks that share a sum stand side by side, then those that share weights.
__device__ inline TensorPlace place_of_block(const TensorJob& job, int rows_per_tile) {
  const int64_t local = blockIdx.x - job.first_block;
  const int64_t tile = local / job.sharing_blocks;
  const int64_t segment = local % job.sharing_blocks;
  return {tile % job.row_tiles * rows_per_tile, tile / job.row_tiles, segment,
          job.sharing_blocks == 1 ? job.segments.count : segment + 1};
}

/// The input behind a segment.
__device__ inline int64_t end_of_segments(const TensorJob& job, int64_t end_segment) {
  const int64_t end = end_segment * job.segments.depth;
  return end < job.job.w.spec.cols ? end : job.job.w.spec.cols;
}

/// What stands behind the sum of output n; see MatmulArgs.
__device__ inline void finish_output(const cpu::HostMatmul& job, float sum, int64_t row,
                                     int64_t n) {
  if (job.bias != nullptr) sum = sum + job.bias[n];
  float y = cpu::activate(job.activation, LaneVec{sum}).v * job.scale;
  if (job.residual != nullptr) y = y + job.residual[row * job.w.spec.rows + n];
  job.out[row * job.out_stride + n] = y;
}

/// The hidden units of one row of a block of warpgroups, from its sums [kWarpgroupOutputs].
struct HiddenUnits {
  const TensorJob& job;
  int64_t column;
  const float* sums;

  /// Unit `u` of the block's. Where gates and linear parts stand apart, the block has the gates
  /// first.
  __device__ float unit(int u) const {
    constexpr int kHalf = kWarpgroupOutputs / 2;
    switch (job.form.glu) {
      case GluLayout::kHalves: {
        const int64_t n = column * kHalf + u;
        return gated(output(u, n), output(kHalf + u, job.job.w.spec.rows / 2 + n));
      }
      case GluLayout::kInterleaved: {
        const int64_t n = column * kWarpgroupOutputs + 2 * u;
        return gated(output(2 * u, n), output(2 * u + 1, n + 1));
      }
      case GluLayout::kNone:
        break;
    }
    const float sum = output(u, column * kWarpgroupOutputs + u);
    return cpu::activate(job.job.activation, LaneVec{sum}).v;
  }

 private:
  __device__ float output(int at, int64_t n) const {
    return job.job.bias == nullptr ? sums[at] : sums[at] + job.job.bias[n];
  }
  __device__ float gated(float gate, float linear) const {
    return cpu::gated(job.form, LaneVec{gate}, LaneVec{linear}).v;
  }
};

/// Finishes the sum of a block, or keeps it for those of the other segments.
__device__ inline void store_sum(const TensorJob& job, const TensorPlace& place, float sum,
                                 int64_t row, int64_t n) {
  if (job.partial == nullptr) return finish_output(job.job, sum, row, n);
  job.partial[(place.first_segment * job.job.num_rows + row) * job.job.w.spec.rows + n] = sum;
}

}  // namespace switchyard::cuda
