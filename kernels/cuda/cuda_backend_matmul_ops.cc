#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/counted_ffn.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/grouped_ffn.h"
#include "kernels/cuda/products.h"

namespace switchyard {

using cuda::CudaQueue;

void CudaBackend::run_matmul(Stream& stream, const cpu::HostMatmul& args) {
  run_matmuls(stream, {args});
}

void CudaBackend::run_matmuls(Stream& stream, std::vector<cpu::HostMatmul> jobs) {
  submit(stream, [jobs = std::move(jobs), method = product_method()](CudaQueue& queue) {
    cuda::products(queue, jobs, method);
  });
}

void CudaBackend::run_grouped_ffn(Stream& stream, std::shared_ptr<const cpu::GroupedFfnCall> call) {
  submit(stream, [call = std::move(call), method = product_method()](CudaQueue& queue) {
    if (call->device_offsets != nullptr) return cuda::counted_ffn(queue, *call, method);
    cuda::grouped_ffn(queue, call->args, method);
  });
}

}  // namespace switchyard
