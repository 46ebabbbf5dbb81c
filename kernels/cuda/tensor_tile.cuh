// A tile of 64 outputs on tensor cores, for every kind of weight: four warps with 16 outputs each,
// the weights as the left operand, rows as the right one.
//
// Few rows wait for memory: each weight is read once, by at least 264 blocks that keep 8 KiB each
// on their way. Many rows are bound by shared memory rather than by the tensor cores: a warp reads
// the left operand once for 64 rows, the right one anew.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_place.cuh"
#include "kernels/cuda/tensor_weights.cuh"

namespace switchyard::cuda {

/// Numbers from one row to the next in shared memory: 8 rows' words lie on different banks.
inline constexpr int kRowHalves = kTensorDepth + 8;
/// Sums from one row to the next in shared memory.
inline constexpr int kSumStride = kTensorOutputs + 4;

template <int kRows>
struct TensorSizes {
  static constexpr int kInBytes = (PaddedLayout::kHalves + kRows * kRowHalves) * 2;
  static constexpr int kOutBytes = kRows * kSumStride * 4;
  static constexpr int kVectors = (kInBytes > kOutBytes ? kInBytes : kOutBytes) / 16;
  static_assert(kInBytes % 16 == 0 && kOutBytes % 16 == 0);
  /// Pairs of inputs that a thread moves.
  static constexpr int kPairs = kRows * kTensorDepth / 2 / kTensorThreads;
};

/// Inputs of rows on their way, as tensor_weights.cuh has weights.
template <int kRows>
class TensorRows {
 public:
  __device__ void fetch(const cpu::HostMatmul& job, int64_t first_row, int64_t first_k) {
    const int64_t left = job.num_rows - first_row;
    const int rows = left < kRows ? static_cast<int>(left) : kRows;
    const int first = static_cast<int>(threadIdx.x) / kPairsPerRow;
    const int64_t k = first_k + static_cast<int>(threadIdx.x) % kPairsPerRow * 2;
    const bool has_one = k < job.w.spec.cols;
    const bool has_two = k + 1 < job.w.spec.cols;
    const float* x = job.x + (first_row + first) * job.x_stride + k;
    const int64_t step = kRowsPerRound * job.x_stride;
    SWITCHYARD_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      const bool is_row = first + i * kRowsPerRound < rows;
      values_[2 * i] = is_row && has_one ? x[0] : 0.0f;
      values_[2 * i + 1] = is_row && has_two ? x[1] : 0.0f;
      x += step;
    }
  }
  template <typename Numbers>
  __device__ void land(uint16_t* tile) const {
    SWITCHYARD_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      const int pair = static_cast<int>(threadIdx.x) + i * kTensorThreads;
      *reinterpret_cast<uint32_t*>(tile + pair / kPairsPerRow * kRowHalves +
                                   pair % kPairsPerRow * 2) =
          Numbers::pack(values_[2 * i], values_[2 * i + 1]);
    }
  }

 private:
  static constexpr int kPairs = TensorSizes<kRows>::kPairs;
  static constexpr int kPairsPerRow = kTensorDepth / 2;
  static constexpr int kRowsPerRound = kTensorThreads / kPairsPerRow;
  float values_[2 * kPairs];
};

/// A warp's sums: of each 8 rows a tile of 16 outputs (see multiply_bf16()).
template <int kRows>
using TensorSums = float[kRows / 8][4];

template <typename Numbers, int kRows>
__device__ void multiply_tile(const uint16_t* weights, const uint16_t* rows,
                              TensorSums<kRows>& sums) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  // The lane's row of load_transposed(): matrices 0 and 1 are inputs 0 to 7 of outputs 0 to 7 and
  // 8 to 15, matrices 2 and 3 the next 8 inputs.
  const uint16_t* const left =
      weights + (warp / 2 * kTensorDepth + lane / 16 * 8 + lane % 8) * PaddedLayout::kStride +
      warp % 2 * 16 + lane / 8 % 2 * 8;
  const uint16_t* const right = rows + lane / 4 * kRowHalves + lane % 4 * 2;
  SWITCHYARD_UNROLL
  for (int k = 0; k < kTensorDepth; k += 16) {
    uint32_t a[4];
    load_transposed(left + k * PaddedLayout::kStride, a);
    SWITCHYARD_UNROLL
    for (int r = 0; r < kRows / 8; ++r) {
      const uint16_t* const b = right + r * 8 * kRowHalves + k;
      Numbers::multiply(sums[r], a, *reinterpret_cast<const uint32_t*>(b),
                        *reinterpret_cast<const uint32_t*>(b + 8));
    }
  }
}

/// The block's segments, each from 0, joined in ascending order.
template <typename Numbers, typename Tile, int kRows>
__device__ void sum_segments(const TensorJob& job, const TensorPlace& place, uint16_t* shared,
                             TensorSums<kRows>& total) {
  const TilePanels panels = panels_of_tile<Tile>(job, place.column);
  uint16_t* const rows = shared + PaddedLayout::kHalves;
  const int64_t depth = job.segments.depth;
  const int64_t end = end_of_segments(job, place.end_segment);
  // Many rows would take 32 registers through the products; the second-level cache has them near.
  constexpr bool kFetchesAhead = kRows <= kFewTensorRows;
  Tile next_weights;
  TensorRows<kRows> next_rows;
  next_weights.fetch(job, panels, place.first_segment * depth);
  if (kFetchesAhead) next_rows.fetch(job.job, place.first_row, place.first_segment * depth);
  TensorSums<kRows> sums = {};
  for (int64_t k = place.first_segment * depth; k < end; k += kTensorDepth) {
    next_weights.template land<Numbers, PaddedLayout>(shared);
    if (!kFetchesAhead) next_rows.fetch(job.job, place.first_row, k);
    next_rows.template land<Numbers>(rows);
    __syncthreads();
    if (k + kTensorDepth < end) {
      next_weights.fetch(job, panels, k + kTensorDepth);
      if (kFetchesAhead) next_rows.fetch(job.job, place.first_row, k + kTensorDepth);
    }
    multiply_tile<Numbers, kRows>(shared, rows, sums);
    __syncthreads();
    if ((k + kTensorDepth) % depth != 0 && k + kTensorDepth < end) continue;
    const bool is_first = k < (place.first_segment + 1) * depth;
    SWITCHYARD_UNROLL
    for (int r = 0; r < kRows / 8; ++r) {
      SWITCHYARD_UNROLL
      for (int i = 0; i < 4; ++i) {
        total[r][i] = is_first ? sums[r][i] : total[r][i] + sums[r][i];
        sums[r][i] = 0.0f;
      }
    }
  }
}

/// kIsFew: a block has one segment, whose sums wait for the others where there are several.
template <typename Numbers, typename Tile, bool kIsFew>
__global__ void __launch_bounds__(kTensorThreads) tensor_kernel(TensorBatch batch) {
  constexpr int kRows = kIsFew ? kFewTensorRows : kManyTensorRows;
  __shared__ uint4 space[TensorSizes<kRows>::kVectors];
  if (!has_work(batch)) return;
  const TensorJob& job = job_of_block(batch);
  const TensorPlace place = place_of_block(job, kRows);
  TensorSums<kRows> total = {};
  sum_segments<Numbers, Tile, kRows>(job, place, reinterpret_cast<uint16_t*>(space), total);
  auto* const sums = reinterpret_cast<float*>(space);  // [kRows][kSumStride]
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int output = static_cast<int>(threadIdx.x / 32) * 16 + lane / 4;
  SWITCHYARD_UNROLL
  for (int r = 0; r < kRows / 8; ++r) {
    float* const to = sums + (r * 8 + lane % 4 * 2) * kSumStride + output;
    to[0] = total[r][0];
    to[kSumStride] = total[r][1];
    to[8] = total[r][2];
    to[kSumStride + 8] = total[r][3];
  }
  __syncthreads();
  const int64_t n_outputs = job.job.w.spec.rows;
  for (int item = static_cast<int>(threadIdx.x); item < kRows * kTensorOutputs;
       item += kTensorThreads) {
    const int64_t row = place.first_row + item / kTensorOutputs;
    const int64_t n = place.column * kTensorOutputs + item % kTensorOutputs;
    if (row >= job.job.num_rows || n >= n_outputs) continue;
    store_sum(job, place, sums[item / kTensorOutputs * kSumStride + item % kTensorOutputs], row, n);
  }
}

/// Starts the kernel of a batch. Tile is a class of tensor_weights.cuh.
template <typename Tile>
void launch_tensor_batch(cudaStream_t stream, const TensorBatch& batch) {
  const LaunchShape shape{static_cast<unsigned>(batch.num_blocks), kTensorThreads};
  const bool is_bf16 = batch.arithmetic == Arithmetic::kBf16;
  if (batch.form == TensorForm::kFew) {
    launch(
        is_bf16 ? tensor_kernel<Bf16Numbers, Tile, true> : tensor_kernel<Fp16Numbers, Tile, true>,
        shape, stream, batch);
  } else {
    launch(
        is_bf16 ? tensor_kernel<Bf16Numbers, Tile, false> : tensor_kernel<Fp16Numbers, Tile, false>,
        shape, stream, batch);
  }
}

}  // namespace switchyard::cuda
