#include "kernels/cuda/cuda_graph.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_error.h"

namespace switchyard::cuda {
namespace {

// Job tables of a layer take kilobytes, and a step of many ranks has two graphs a layer.
constexpr int64_t kBlockBytes = int64_t{1} << 16;
constexpr int64_t kAlignment = 256;

}  // namespace

CudaGraph::~CudaGraph() {
  if (ready_ != nullptr) cudaGraphExecDestroy(ready_);
  for (void* const block : blocks_) cudaFree(block);
}

void* CudaGraph::upload(const void* host, int64_t bytes) {
  if (bytes == 0) return nullptr;
  const int64_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (size > left_) {
    const int64_t block_bytes = std::max(kBlockBytes, size);
    void* block = nullptr;
    check_cuda(cudaMalloc(&block, static_cast<size_t>(block_bytes)),
               "allocating device memory for a graph");
    blocks_.push_back(block);
    next_ = static_cast<char*>(block);
    left_ = block_bytes;
  }
  void* const to = next_;
  next_ += size;
  left_ -= size;
  // On a stream that does not record: the kernels of every launch find it there.
  check_cuda(cudaMemcpyAsync(to, host, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                             cudaStreamPerThread),
             "copying arguments to the device");
  check_cuda(cudaStreamSynchronize(cudaStreamPerThread), "waiting for a copy");
  return to;
}

void CudaGraph::finish(cudaGraph_t recorded) {
  const cudaError_t status = cudaGraphInstantiate(&ready_, recorded, 0);
  cudaGraphDestroy(recorded);
  check_cuda(status, "making a graph ready to run");
}

void CudaGraph::launch(cudaStream_t stream) const {
  SWITCHYARD_CHECK(ready_ != nullptr, "a graph whose recording failed");
  check_cuda(cudaGraphLaunch(ready_, stream), "launching a graph");
}

}  // namespace switchyard::cuda
