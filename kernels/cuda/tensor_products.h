// Products on tensor cores: operands rounded to 16 bits, fp32 sums.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/cuda_queue.h"
#include "kernels/cuda/job_batch.h"

namespace switchyard::cuda {

/// How the inputs of a weight are cut. Each segment's sum begins at 0 and takes 16 inputs at a time
/// in ascending order; segments are added in ascending order.
struct TensorSegments {
  int64_t count = 1;
  int64_t depth = 0;  // of each but the last, a multiple of 64
};

/// Depends on the shape [n, k] alone, so that no number depends on how many rows share a call:
/// enough segments of at least 256 inputs that tiles of 64 outputs times segments keep 132
/// multiprocessors busy twice over.
TensorSegments tensor_segments(int64_t n, int64_t k);

/// By which instructions many rows are multiplied. They give the same bits: where a GPU's do not,
/// exactness_probe.h leaves out the faster ones.
enum class ManyRows : uint8_t {
  kWarps,       ///< mma.sync of single warps: every GPU
  kWarpgroups,  ///< wgmma of four warps: compute capability 9.0
};

/// Of GPUs that have wgmma: later ones do not.
inline constexpr int kWarpgroupCapability = 90;

class LibraryProducts;

/// How products are computed.
struct ProductMethod {
  Arithmetic arithmetic = Arithmetic::kFp32;
  ManyRows many_rows = ManyRows::kWarps;
  LibraryProducts* library = nullptr;  // of fast classes: multiplies what it can
};

/// Computes products that do not depend on each other, from packed panels (kernels/cpu/packing.h).
/// Inputs and weights are rounded to bf16 or fp16 (a quantised weight: its element), then bias,
/// activation, scale and residual as in MatmulArgs. Uses the queue's scratch.
void tensor_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                     const ProductMethod& method);

/// At least TensorPlan::bytes() of any `jobs` products by weights of this shape that have `rows`
/// rows together.
int64_t tensor_scratch_bound(const WeightSpec& spec, int64_t rows, int64_t jobs,
                             const ProductMethod& method);

// For kernels: ------------------------------------------------------------------------------------

/// Outputs of a block of few rows or of warps with many: a warp has 16 of them.
inline constexpr int kTensorOutputs = 64;
/// Outputs of a block of warpgroups: two of these have 64 each.
inline constexpr int kWarpgroupOutputs = 128;
/// Inputs of a tile in shared memory.
inline constexpr int kTensorDepth = 64;
/// So few rows wait for memory: each of their segments is a block's own.
inline constexpr int kFewTensorRows = 16;
inline constexpr int kManyTensorRows = 64;

/// How rows are cut into tiles.
enum class TensorForm : uint8_t {
  kFew,            ///< kFewTensorRows, by warps
  kMany,           ///< kManyTensorRows, by warps
  kWarpgroups64,   ///< so many, by warpgroups
  kWarpgroups128,  ///< "
  kWarpgroups256,  ///< "; only for weights of one segment
  kLibrary,        ///< all at once, by LibraryProducts
};

/// A job as kernels see it.
struct TensorJob {
  cpu::HostMatmul job;  // strides told
  cpu::QuantizedLayout layout;
  TensorSegments segments;
  int64_t sharing_blocks = 1;         // of one sum: a segment each, or one block has them all
  float* partial = nullptr;           // [segments][rows][n] where blocks share a sum
  const uint16_t* rounded = nullptr;  // x in tiles of round_rows.h, for warpgroups
  int64_t row_tiles = 0;
  uint16_t* units =
      nullptr;   // hidden units in tiles of round_rows.h, for warpgroups; null: job.out
  FfnForm form;  // of the units
  int64_t first_block = 0;
};

/// Jobs of one launch.
struct TensorBatch : JobBatch<TensorJob> {
  TensorForm form = TensorForm::kFew;
  Arithmetic arithmetic = Arithmetic::kBf16;
};

void tensor_products_plain(cudaStream_t stream, const TensorBatch& batch, DType dtype);
void tensor_products_quantized(cudaStream_t stream, const TensorBatch& batch, cpu::CodeForm form);
/// Of weights of the type that is multiplied.
void warpgroup_products_plain(cudaStream_t stream, const TensorBatch& batch);
void warpgroup_products_quantized(cudaStream_t stream, const TensorBatch& batch,
                                  cpu::CodeForm form);

/// Adds the partial sums of all jobs and finishes them; first_block counts blocks of kJoinThreads
/// outputs here.
inline constexpr int kJoinThreads = 256;
void join_partial_sums(cudaStream_t stream, const JobBatch<TensorJob>& batch);

}  // namespace switchyard::cuda
