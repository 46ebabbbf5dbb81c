#include <memory>
#include <utility>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/store_key_values.h"

namespace switchyard {

using cuda::CudaQueue;

void CudaBackend::run_store_key_values(Stream& stream, const cpu::StoreKeyValuesParams& params,
                                       cpu::PagedSequences rows) {
  submit(stream, [params, rows = std::move(rows)](CudaQueue& queue) {
    cuda::store_key_values(queue, params, rows);
  });
}

void CudaBackend::run_attention(Stream& stream, const cpu::AttentionParams& params,
                                cpu::PagedSequences rows) {
  submit(stream, [params, rows = std::move(rows)](CudaQueue& queue) {
    cuda::attention(queue, params, rows);
  });
}

}  // namespace switchyard
