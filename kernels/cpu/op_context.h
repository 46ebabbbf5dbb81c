// What the operations of one stream compute with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matmul_driver.h"

namespace switchyard {

/// Inner loops, threads and scratch of one stream, so that streams share nothing that is written.
class OpContext {
 public:
  OpContext(const CpuKernels& kernels_in, int num_threads)
      : kernels(kernels_in), pool(num_threads), scratch_(static_cast<size_t>(num_threads)) {}

  const CpuKernels& kernels;
  ThreadPool pool;

  /// Gives every thread at least `floats` floats of scratch; contents are lost when it grows,
  /// which it does at the first call of a shape and not again.
  void reserve_scratch(int64_t floats) {
    for (AlignedBuffer& buffer : scratch_) {
      if (buffer.bytes() < floats * 4) buffer = AlignedBuffer(floats * 4);
    }
  }
  float* scratch(int thread) { return scratch_[static_cast<size_t>(thread)].as<float>(); }

  /// Made at the first use: most streams never multiply.
  cpu::MatmulScratch& matmul_scratch() {
    if (!matmul_scratch_) matmul_scratch_.emplace(pool.num_threads());
    return *matmul_scratch_;
  }

 private:
  std::vector<AlignedBuffer> scratch_;  // one a thread
  std::optional<cpu::MatmulScratch> matmul_scratch_;
};

namespace cpu {

/// Calls body(begin, end, thread) for ranges that cover rows [0, num_rows), on the pool if there
/// is enough work: `row_work` is about the elements that a row touches.
template <typename Body>
void for_row_ranges(OpContext& context, int64_t num_rows, int64_t row_work, const Body& body) {
  // Some microseconds of streaming, several times what handing out a task costs.
  constexpr int64_t kElementsPerTask = 16384;
  const int64_t rows_per_task =
      std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, row_work));
  const int64_t num_tasks = (num_rows + rows_per_task - 1) / rows_per_task;
  if (num_tasks == 1) return body(0, num_rows, 0);
  context.pool.parallel_for(num_tasks, [&](int64_t task, int thread) {
    const int64_t begin = task * rows_per_task;
    body(begin, std::min(begin + rows_per_task, num_rows), thread);
  });
}

}  // namespace cpu
}  // namespace switchyard
