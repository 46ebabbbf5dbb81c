#include <memory>
#include <utility>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/store_key_values.h"
#include "kernels/cuda/tensor_attention.h"

namespace switchyard {

using cuda::CudaQueue;

void CudaBackend::run_store_key_values(Stream& stream, const cpu::StoreKeyValuesParams& params,
                                       cpu::PagedSequences rows) {
  submit(stream, [params, rows = std::move(rows), arithmetic = arithmetic_](CudaQueue& queue) {
    if (arithmetic == Arithmetic::kFp32) {
      cuda::store_key_values(queue, params, rows);
    } else {
      cuda::store_tensor_key_values(queue, params, rows, arithmetic);
    }
  });
}

void CudaBackend::run_attention(Stream& stream, const cpu::AttentionParams& params,
                                cpu::PagedSequences rows) {
  submit(stream, [params, rows = std::move(rows), arithmetic = arithmetic_](CudaQueue& queue) {
    if (arithmetic == Arithmetic::kFp32) {
      cuda::attention(queue, params, rows);
    } else {
      cuda::tensor_attention(queue, params, rows, arithmetic);
    }
  });
}

}  // namespace switchyard
