// What a CUDA stream records, to be launched again and again.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "kernels/stream.h"

namespace switchyard::cuda {

/// A CUDA graph and the arguments in device memory that its kernels read.
class CudaGraph final : public Graph::State {
 public:
  /// `scratch` is the working memory of the stream that records, which the kernels use.
  explicit CudaGraph(const void* scratch) : scratch_(scratch) {}
  ~CudaGraph() override;
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  const void* scratch() const { return scratch_; }
  /// A copy of host data in device memory that lives as long as the graph. Waits. Throws
  /// Error(kResource).
  void* upload(const void* host, int64_t bytes);
  /// Takes what was recorded over, and makes it ready to run. Throws Error(kResource).
  void finish(cudaGraph_t recorded);
  void launch(cudaStream_t stream) const;

 private:
  const void* scratch_;
  std::vector<void*> blocks_;
  char* next_ = nullptr;  // free, of the last block
  int64_t left_ = 0;      // bytes from there on
  cudaGraphExec_t ready_ = nullptr;
};

}  // namespace switchyard::cuda
