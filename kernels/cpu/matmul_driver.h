// Matrix multiplication on all threads.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/kernels.h"
#include "kernels/ops.h"

namespace switchyard::cpu {

/// MatmulArgs over host pointers: out = activation(x w^T + bias) * scale + residual.
struct HostMatmul {
  const float* x = nullptr;  // [num_rows, K]
  int64_t x_stride = 0;      // from one row of x to the next; 0: K
  int64_t num_rows = 0;
  Weight w;                     // [N, K], packed
  const float* bias = nullptr;  // [N] or null
  Activation activation = Activation::kNone;
  const float* residual = nullptr;  // [num_rows, N] or null, may be out
  float* out = nullptr;             // [num_rows, N], must not overlap x
  float scale = 1.0f;
  int64_t out_stride = 0;  // from one row of out to the next; 0: N

  /// Row `row` of x.
  const float* x_row(int64_t row) const {
    return x + row * (x_stride == 0 ? w.spec.cols : x_stride);
  }
  /// Row `row` of out.
  float* out_row(int64_t row) const {
    return out + row * (out_stride == 0 ? w.spec.rows : out_stride);
  }
};

/// Working memory of matmul and grouped_ffn, allocated once and used by one call at a time.
class MatmulScratch {
 public:
  /// For calls on a pool of up to `num_threads` threads; throws Error(kResource).
  explicit MatmulScratch(int num_threads);

  /// Bytes a scratch for `num_threads` threads takes when it is made.
  static int64_t bytes(int num_threads);

 private:
  friend class MatmulRun;

  /// A block of rows of one job, and its place in the list of tasks.
  struct Unit {
    const HostMatmul* job = nullptr;
    int64_t first_row = 0;
    int64_t num_rows = 0;
    TilePartition tiles;
    const float* packed_rows = nullptr;  // the job's own rows if they need no packing
    QuantizedLayout quantized;
    int64_t panels_per_task = 0;
    int64_t first_task = 0;  // of the units' tasks in a row
  };

  /// A tile to transpose.
  struct PackTask {
    const float* rows = nullptr;
    int64_t num_rows = 0;
    int64_t k = 0;
    int64_t stride = 0;
    float* packed = nullptr;
  };

  int num_threads_;
  AlignedBuffer per_thread_;   // kBlockScratchBytes a thread
  AlignedBuffer packed_rows_;  // shared by the threads; grows when one tile does not fit
  std::vector<Unit> units_;
  std::vector<PackTask> pack_tasks_;
};

/// Computes one matmul. Equal bits for any number of rows and threads and any kernels.
void matmul(const CpuKernels& kernels, ThreadPool& pool, MatmulScratch& scratch,
            const HostMatmul& args);

/// Computes matmuls that do not depend on each other, sharing the work of all among the threads.
void matmul_all(const CpuKernels& kernels, ThreadPool& pool, MatmulScratch& scratch,
                const std::vector<HostMatmul>& jobs);

}  // namespace switchyard::cpu
