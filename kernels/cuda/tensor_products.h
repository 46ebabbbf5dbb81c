// Products on tensor cores: operands rounded to 16 bits, fp32 sums.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/cuda_queue.h"

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

/// Computes products that do not depend on each other, from packed panels (kernels/cpu/packing.h).
/// Inputs and weights are rounded to bf16 or fp16 (a quantised weight: its element), then bias,
/// activation, scale and residual as in MatmulArgs. `scratch` holds tensor_scratch_bytes(jobs).
void tensor_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                     Arithmetic arithmetic, void* scratch);

/// Bytes of device memory for partial sums, a multiple of 256.
int64_t tensor_scratch_bytes(const std::vector<cpu::HostMatmul>& jobs);

// For kernels: ------------------------------------------------------------------------------------

/// Outputs of a block: a warp has 16 of them.
inline constexpr int kTensorOutputs = 64;
/// Inputs of a tile in shared memory.
inline constexpr int kTensorDepth = 64;
/// With at most kFewTensorRows rows the segments go to blocks of their own, for these wait for
/// memory; else a block joins them itself.
inline constexpr int kFewTensorRows = 16;
inline constexpr int kManyTensorRows = 64;

/// A job as kernels see it.
struct TensorJob {
  cpu::HostMatmul job;  // strides told
  cpu::QuantizedLayout layout;
  TensorSegments segments;
  float* partial = nullptr;  // [segments][rows][n] where blocks share a sum
  int64_t row_tiles = 0;
  int64_t first_block = 0;
};

/// Jobs of one launch, in device memory.
struct TensorBatch {
  const TensorJob* jobs = nullptr;
  int num_jobs = 0;
  int64_t num_blocks = 0;
  bool has_few_rows = false;
  Arithmetic arithmetic = Arithmetic::kBf16;
};

void tensor_products_plain(cudaStream_t stream, const TensorBatch& batch, DType dtype);
void tensor_products_quantized(cudaStream_t stream, const TensorBatch& batch, int bits);

/// Adds the partial sums of all jobs and finishes them; first_block counts blocks of kJoinThreads
/// outputs here.
inline constexpr int kJoinThreads = 256;
void join_partial_sums(cudaStream_t stream, const TensorBatch& batch);

}  // namespace switchyard::cuda
