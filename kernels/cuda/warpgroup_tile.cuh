// Products of many rows by warpgroups: one brings tiles of weights and of rounded rows into shared
// memory, two multiply them, 64 outputs each, weights as the left operand. Weights are copied by
// all threads, for their panels have to be swizzled; rows are rounded into tiles that are copied as
// they are, which one thread leaves to the tensor memory accelerator.
//
// For 128 outputs by 128 rows, 16 inputs take the tensor cores 128 cycles and shared memory 160: 64
// to be filled and 48 for each warpgroup to be read. With 256 rows it is 256 beside 256; then a
// thread has 128 sums and no registers for the sums of other segments.
#pragma once

#include "kernels/cuda/instructions/async_copy.cuh"
#include "kernels/cuda/instructions/bulk_copy.cuh"
#include "kernels/cuda/instructions/shared_memory.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/round_rows.h"
#include "kernels/cuda/tensor_place.cuh"
#include "kernels/cuda/tensor_weights.cuh"

namespace switchyard::cuda {

inline constexpr int kWarpgroupThreads = 128;
inline constexpr int kMultiplyingThreads = 2 * kWarpgroupThreads;
inline constexpr int kProductThreads = kWarpgroupThreads + kMultiplyingThreads;

/// Where the numbers of a tile of weights lie: see panels_operand().
struct SwizzledLayout {
  static constexpr int kPanelBytes = kTensorDepth * kPanelLanes * 2;
  static constexpr int kTileBytes = kTensorPanels * kPanelBytes;  // of one warpgroup
  __device__ static int place(int panel, int input, int output) {
    return panel * (kPanelBytes / 2) + input * kPanelLanes + (output / 8 ^ input / 2 % 4) * 8 +
           output % 8;
  }
};

/// Shared memory of a block: stages of weights, then rows, at the end of all sums; then the
/// barriers of the stages' rows.
template <int kRows>
struct WarpgroupSizes {
  static constexpr int kWeightBytes = 2 * SwizzledLayout::kTileBytes;
  static constexpr int kStageBytes = kWeightBytes + kRows / kRoundedRows * kRoundedTileBytes;
  /// Two barriers of each have numbers, of which there are 15.
  static constexpr int kStages = 196 * 1024 / kStageBytes < 7 ? 196 * 1024 / kStageBytes : 7;
  /// Copies on their way: a stage is filled, one is multiplied, and the one before that is free
  /// only when the next has begun.
  static constexpr int kAhead = kStages - 2;
  /// Rows that a warp writes at a time lie on different banks.
  static constexpr int kSumStride = kWarpgroupOutputs + 4;
  static constexpr int kTileBytes = kStages * kStageBytes;
  static constexpr int kBytes = kTileBytes + kStages * static_cast<int>(sizeof(BulkBarrier));
  static_assert(kRows * kSumStride * 4 <= kTileBytes);
};

// Barriers. Number 0 is __syncthreads()'s.
template <int kRows>
__device__ int full_barrier(int tile) {
  return 1 + tile % WarpgroupSizes<kRows>::kStages;
}
template <int kRows>
__device__ int empty_barrier(int tile) {
  return 1 + WarpgroupSizes<kRows>::kStages + tile % WarpgroupSizes<kRows>::kStages;
}
inline constexpr int kSumsBarrier = 15;
inline constexpr int kCopyBarrier = 0;

/// The tiles of inputs that a block has.
struct TileRange {
  int64_t first_k;
  int count;
};
__device__ inline TileRange tiles_of_block(const TensorJob& job, const TensorPlace& place) {
  const int64_t first = place.first_segment * job.segments.depth;
  const int64_t inputs = end_of_segments(job, place.end_segment) - first;
  return {first, static_cast<int>((inputs + kTensorDepth - 1) / kTensorDepth)};
}

/// Which 64 outputs a warpgroup has: where gates and linear parts stand apart, and become hidden
/// units here, one has the gates and the other what belongs to them.
__device__ inline int64_t column_of_group(const TensorJob& job, int64_t column, int group) {
  if (job.units == nullptr || job.form.glu != GluLayout::kHalves) return 2 * column + group;
  return group == 0 ? column : job.job.w.spec.rows / (2 * kTensorOutputs) + column;
}

/// Weights that are multiplied as they are: 16-byte copies, which know their place.
class CopiedWeights {
 public:
  static constexpr int kRegisters = 72;  // of a thread that copies
  __device__ CopiedWeights(const TensorJob& job, int64_t column, int64_t first_k)
      : cols_(job.job.w.spec.cols),
        first_k_(first_k),
        first_(group_of(job, column, 0)),
        second_(group_of(job, column, 1)) {}

  /// Begins to fill a tile with inputs [k, k + kTensorDepth).
  template <typename Numbers>
  __device__ void put(int tile, char* to) const {
    const int64_t k = first_k_ + int64_t{tile} * kTensorDepth;
    SWITCHYARD_UNROLL
    for (int i = 0; i < kPieces / kWarpgroupThreads; ++i) {
      const int piece = static_cast<int>(threadIdx.x) + i * kWarpgroupThreads;
      const int panel = piece / kPiecesPerPanel;
      const int input = piece % kPiecesPerPanel / kPiecesPerRow;
      const int output = piece % kPiecesPerRow * 8;
      char* const place = to + SwizzledLayout::place(panel, input, output) * 2;
      // Of a thread's i-th piece, so that no branch is left here.
      const Group& group =
          i * kWarpgroupThreads / kPiecesPerPanel < kTensorPanels ? first_ : second_;
      const int in_group = panel % kTensorPanels;
      if (in_group < group.panels && k + input < cols_) {
        copy_async_16(place, group.data + (in_group * cols_ + k + input) * kRowBytes + output * 2);
      } else {
        *reinterpret_cast<uint4*>(place) = make_uint4(0, 0, 0, 0);
      }
    }
  }

 private:
  static constexpr int kRowBytes = kPanelLanes * 2;
  static constexpr int kPiecesPerRow = kRowBytes / 16;
  static constexpr int kPiecesPerPanel = kTensorDepth * kPiecesPerRow;
  static constexpr int kPieces = kWarpgroupOutputs / kPanelLanes * kPiecesPerPanel;
  static_assert(kPiecesPerPanel % kWarpgroupThreads == 0);

  /// The panels of a warpgroup.
  struct Group {
    int panels;  // that there are, or more
    const char* data;
  };
  __device__ static Group group_of(const TensorJob& job, int64_t column, int group) {
    const WeightSpec& spec = job.job.w.spec;
    const int64_t first = column_of_group(job, column, group) * kTensorPanels;
    const int64_t left = (spec.rows + kPanelLanes - 1) / kPanelLanes - first;
    return {static_cast<int>(left < kTensorPanels ? left : kTensorPanels),
            static_cast<const char*>(job.job.w.data) + first * spec.cols * kRowBytes};
  }

  int64_t cols_;
  int64_t first_k_;
  Group first_, second_;
};

/// Weights that are computed from what is stored; the next tile's are on their way meanwhile.
template <typename Tile>
class ConvertedWeights {
 public:
  static constexpr int kRegisters = 120;
  __device__ ConvertedWeights(const TensorJob& job, int64_t column, int64_t first_k)
      : job_(job),
        panels_{panels_of_tile<Tile>(job, column_of_group(job, column, 0)),
                panels_of_tile<Tile>(job, column_of_group(job, column, 1))},
        next_k_(first_k) {
    fetch();
  }

  template <typename Numbers>
  __device__ void put(int, char* to) {
    tiles_[0].template land<Numbers, SwizzledLayout>(reinterpret_cast<uint16_t*>(to));
    tiles_[1].template land<Numbers, SwizzledLayout>(
        reinterpret_cast<uint16_t*>(to + SwizzledLayout::kTileBytes));
    fetch();
  }

 private:
  /// Zeros past the last input.
  __device__ void fetch() {
    tiles_[0].fetch(job_, panels_[0], next_k_);
    tiles_[1].fetch(job_, panels_[1], next_k_);
    next_k_ += kTensorDepth;
  }

  const TensorJob& job_;
  TilePanels panels_[2];
  int64_t next_k_;
  Tile tiles_[2];
};

/// Rounded rows. Those past the last tile of rows stay what they are: their sums are not kept.
template <int kRows>
class CopiedRows {
 public:
  __device__ CopiedRows(const TensorJob& job, const TensorPlace& place, int64_t first_k)
      : depth_bytes_(rounded_depth_tiles(job.job.w.spec.cols) * kRoundedTileBytes) {
    const int64_t first = place.first_row / kRoundedRows;
    const int64_t left = rounded_row_tiles(job.job.num_rows) - first;
    tiles_ = left < kTiles ? static_cast<int>(left) : kTiles;
    from_ = reinterpret_cast<const char*>(job.rounded) + first * depth_bytes_ +
            first_k / kRoundedInputs * kRoundedTileBytes;
  }

  /// Begins to fill a tile of inputs; by one thread.
  __device__ void put(int tile, char* to, BulkBarrier* barrier) const {
    const char* const from = from_ + int64_t{tile} * kRoundedTileBytes;
    expect_bulk(barrier, tiles_ * kRoundedTileBytes);
    for (int t = 0; t < tiles_; ++t) {
      copy_bulk(to + t * kRoundedTileBytes, from + t * depth_bytes_, kRoundedTileBytes, barrier);
    }
  }

 private:
  static constexpr int kTiles = kRows / kRoundedRows;

  int64_t depth_bytes_;
  int tiles_;
  const char* from_;
};

/// Before the first copy of rows, by all threads that copy.
template <int kRows>
__device__ void start_arrivals(BulkBarrier* arrivals) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < WarpgroupSizes<kRows>::kStages; ++i) start_bulk_barrier(arrivals + i);
    show_bulk_barriers();
  }
  barrier_sync(kCopyBarrier, kWarpgroupThreads);
}

/// What the first warpgroup does.
template <typename Numbers, typename Weights, int kRows>
__device__ void copy_tiles(const TensorJob& job, const TensorPlace& place, char* shared) {
  using Sizes = WarpgroupSizes<kRows>;
  const TileRange tiles = tiles_of_block(job, place);
  Weights weights(job, place.column, tiles.first_k);
  const CopiedRows<kRows> rows(job, place, tiles.first_k);
  auto* const arrivals = reinterpret_cast<BulkBarrier*>(shared + Sizes::kTileBytes);
  start_arrivals<kRows>(arrivals);
  for (int tile = 0; tile < tiles.count + Sizes::kAhead; ++tile) {
    if (tile < tiles.count) {
      char* const stage = shared + tile % Sizes::kStages * Sizes::kStageBytes;
      if (tile >= Sizes::kStages) barrier_sync(empty_barrier<kRows>(tile), kProductThreads);
      weights.template put<Numbers>(tile, stage);
      if (threadIdx.x == 0) {
        rows.put(tile, stage + Sizes::kWeightBytes, arrivals + tile % Sizes::kStages);
      }
    }
    commit_copies();
    wait_for_copies<Sizes::kAhead>();
    if (tile >= Sizes::kAhead) {
      const int filled = tile - Sizes::kAhead;
      wait_for_bulk(arrivals + filled % Sizes::kStages, filled / Sizes::kStages % 2);
      show_to_products();
      barrier_arrive(full_barrier<kRows>(filled), kProductThreads);
    }
  }
}

/// A thread's sums of 64 outputs by kRows rows.
template <int kRows>
using WarpgroupSums = float[kRows / 2];

/// Lets a tile's stage be filled anew, where something is left to fill it with.
template <int kRows>
__device__ void release_tile(int tile, int num_tiles) {
  if (tile + WarpgroupSizes<kRows>::kStages >= num_tiles) return;
  barrier_arrive(empty_barrier<kRows>(tile), kProductThreads);
}

/// Adds tiles [tile, end) of `num_tiles` to sums.
template <typename Numbers, int kRows>
__device__ void multiply_tiles(const char* shared, int tile, int end, int num_tiles,
                               WarpgroupSums<kRows>& sums) {
  using Sizes = WarpgroupSizes<kRows>;
  const int group = static_cast<int>(threadIdx.x) / kWarpgroupThreads - 1;
  const int first = tile;
  hold_sums(sums);
  for (; tile < end; ++tile) {
    const char* const stage = shared + tile % Sizes::kStages * Sizes::kStageBytes;
    const MatrixOperand weights =
        panels_operand<SwizzledLayout::kPanelBytes>(stage + group * SwizzledLayout::kTileBytes);
    const MatrixOperand rows = rows_operand(stage + Sizes::kWeightBytes);
    barrier_sync(full_barrier<kRows>(tile), kProductThreads);
    begin_products();
    SWITCHYARD_UNROLL
    for (int k = 0; k < kTensorDepth; k += 16) {
      Numbers::multiply(sums, advance_operand(weights, k * kPanelLanes * 2),
                        advance_operand(rows, k * 2));
    }
    commit_products();
    wait_for_products<1>();
    if (tile > first) release_tile<kRows>(tile - 1, num_tiles);
  }
  wait_for_products<0>();
  hold_sums(sums);
  release_tile<kRows>(end - 1, num_tiles);
}

/// Each segment from 0, joined in ascending order.
template <typename Numbers, int kRows, bool kJoins>
__device__ void multiply_segments(const TensorJob& job, const TensorPlace& place,
                                  const char* shared, WarpgroupSums<kRows>& total) {
  const int num_tiles = tiles_of_block(job, place).count;
  SWITCHYARD_UNROLL
  for (int i = 0; i < kRows / 2; ++i) total[i] = 0.0f;
  if constexpr (!kJoins) {
    multiply_tiles<Numbers, kRows>(shared, 0, num_tiles, num_tiles, total);
  } else {
    const auto per_segment = static_cast<int>(job.segments.depth / kTensorDepth);
    for (int tile = 0; tile < num_tiles; tile += per_segment) {
      const int end = tile + per_segment < num_tiles ? tile + per_segment : num_tiles;
      WarpgroupSums<kRows> sums = {};
      multiply_tiles<Numbers, kRows>(shared, tile, end, num_tiles, sums);
      SWITCHYARD_UNROLL
      for (int i = 0; i < kRows / 2; ++i) total[i] = tile == 0 ? sums[i] : total[i] + sums[i];
    }
  }
}

/// The outputs of `sums` [num_rows][stride] as rounded hidden units: threads of a warp write the
/// 128 bytes of a row of a tile, two units each.
template <typename Numbers>
__device__ void store_units(const TensorJob& job, const TensorPlace& place, const float* sums,
                            int stride, int num_rows, int thread) {
  const bool is_gated = job.form.glu != GluLayout::kNone;
  const int64_t num_units = job.job.w.spec.rows / (is_gated ? 2 : 1);
  const int units = is_gated ? kWarpgroupOutputs / 2 : kWarpgroupOutputs;  // of the block
  for (int item = thread; item < num_rows * units / 2; item += kMultiplyingThreads) {
    const int row = item / (units / 2);
    const int unit = item % (units / 2) * 2;
    const int64_t first = place.column * units + unit;
    if (first >= num_units) continue;
    const HiddenUnits of_row{job, place.column, sums + row * stride};
    const int64_t at = rounded_place(place.first_row + row, first, num_units / kRoundedInputs);
    *reinterpret_cast<uint32_t*>(job.units + at) =
        Numbers::pack(of_row.unit(unit), of_row.unit(unit + 1));
  }
}

/// By way of shared memory, so that neighbouring threads finish neighbouring outputs.
template <typename Numbers, int kRows>
__device__ void store_sums(const TensorJob& job, const TensorPlace& place, char* shared,
                           const WarpgroupSums<kRows>& total) {
  constexpr int kStride = WarpgroupSizes<kRows>::kSumStride;
  auto* const sums = reinterpret_cast<float*>(shared);  // [kRows][kStride]
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroupThreads;
  const int lane = thread % 32;
  const int output = thread / 32 * 16 + lane / 4;
  barrier_sync(kSumsBarrier, kMultiplyingThreads);
  SWITCHYARD_UNROLL
  for (int r = 0; r < kRows / 8; ++r) {
    float* const to = sums + (r * 8 + lane % 4 * 2) * kStride + output;
    to[0] = total[4 * r];
    to[kStride] = total[4 * r + 1];
    to[8] = total[4 * r + 2];
    to[kStride + 8] = total[4 * r + 3];
  }
  barrier_sync(kSumsBarrier, kMultiplyingThreads);
  if (job.units != nullptr) {
    const int64_t rows = job.job.num_rows - place.first_row;
    const int num_rows = rows < kRows ? static_cast<int>(rows) : kRows;
    return store_units<Numbers>(job, place, sums, kStride, num_rows, thread);
  }
  for (int item = thread; item < kRows * kWarpgroupOutputs; item += kMultiplyingThreads) {
    const int in_tile = item / kWarpgroupOutputs;
    const int column = item % kWarpgroupOutputs;
    const int64_t row = place.first_row + in_tile;
    const int64_t n = place.column * kWarpgroupOutputs + column;
    if (row >= job.job.num_rows || n >= job.job.w.spec.rows) continue;
    store_sum(job, place, sums[in_tile * kStride + column], row, n);
  }
}

/// kJoins: the weight may have several segments.
template <typename Numbers, typename Weights, int kRows, bool kJoins>
__global__ void __launch_bounds__(kProductThreads, 1) warpgroup_kernel(TensorBatch batch) {
#if SWITCHYARD_HAS_WARPGROUPS
  char* const shared = dynamic_shared<char>();
  const TensorJob& job = job_of_block(batch);
  const TensorPlace place = place_of_block(job, kRows);
  // All threads have 168 registers at first; what copying leaves goes to multiplying.
  constexpr int kLeft = (504 - Weights::kRegisters) / 2 / 8 * 8;
  if (threadIdx.x < kWarpgroupThreads) {
    keep_registers<Weights::kRegisters>();
    copy_tiles<Numbers, Weights, kRows>(job, place, shared);
  } else {
    take_registers<kLeft>();
    WarpgroupSums<kRows> total;
    multiply_segments<Numbers, kRows, kJoins>(job, place, shared, total);
    store_sums<Numbers, kRows>(job, place, shared, total);
  }
#endif
}

/// Starts the kernel of a batch.
template <typename Weights, int kRows, bool kJoins>
void launch_warpgroup_batch(cudaStream_t stream, const TensorBatch& batch) {
  launch(batch.arithmetic == Arithmetic::kBf16
             ? warpgroup_kernel<Bf16Numbers, Weights, kRows, kJoins>
             : warpgroup_kernel<Fp16Numbers, Weights, kRows, kJoins>,
         {static_cast<unsigned>(batch.num_blocks), kProductThreads, WarpgroupSizes<kRows>::kBytes},
         stream, batch);
}

}  // namespace switchyard::cuda
