#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/paged_rows.h"
#include "kernels/cuda/tensor_attention.h"
#include "kernels/cuda/tensor_weights.cuh"

namespace switchyard::cuda {
namespace {

constexpr unsigned kThreads = 128;

struct Call {
  cpu::StoreKeyValuesParams params;
  TensorKeyValueLayout layout;
  PagedRows rows;
};

/// Rounds `size` numbers, and zeros behind them up to `stride`, which is even.
template <typename Numbers>
__device__ void store_row(const float* from, int64_t size, uint16_t* to, int64_t stride) {
  for (int64_t i = 2 * threadIdx.x; i < stride; i += 2 * kThreads) {
    const float low = i < size ? from[i] : 0.0f;
    const float high = i + 1 < size ? from[i + 1] : 0.0f;
    *reinterpret_cast<uint32_t*>(to + i) = Numbers::pack(low, high);
  }
}

/// A block a row and key/value head.
template <typename Numbers>
__global__ void store_kernel(Call call) {
  const RowRun run = call.rows.find(blockIdx.x);
  const int64_t in_run = blockIdx.x - run.first_item;
  const int64_t row = run.rows.first_row + in_run;
  const int64_t position = run.rows.first_position + in_run;
  const int64_t page = call.rows.page_table[run.rows.first_page_entry + position / kKeysPerPage];
  const int64_t place = position % kKeysPerPage;
  const cpu::KeyValueLayout& sizes = call.params.layout;
  const TensorKeyValueLayout& layout = call.layout;
  const int64_t head = blockIdx.y;
  uint16_t* const keys = reinterpret_cast<uint16_t*>(call.params.pages) + page * layout.page_size +
                         head * layout.head_size;
  const int64_t number = row * sizes.num_kv_heads + head;
  store_row<Numbers>(call.params.keys + number * sizes.head_dim, sizes.head_dim,
                     keys + place * layout.key_stride, layout.key_stride);
  if (layout.value_stride == 0) return;
  store_row<Numbers>(call.params.values + number * sizes.value_dim, sizes.value_dim,
                     keys + kKeysPerPage * layout.key_stride + place * layout.value_stride,
                     layout.value_stride);
}

}  // namespace

void store_tensor_key_values(CudaQueue& queue, const cpu::StoreKeyValuesParams& params,
                             const cpu::PagedSequences& rows, Arithmetic arithmetic) {
  Call call;
  call.params = params;
  call.layout = TensorKeyValueLayout(params.layout);
  call.rows =
      upload_rows(queue, rows, [](const SequenceRows& sequence) { return sequence.num_rows; });
  launch(arithmetic == Arithmetic::kBf16 ? store_kernel<Bf16Numbers> : store_kernel<Fp16Numbers>,
         {dim3(static_cast<unsigned>(call.rows.num_items),
               static_cast<unsigned>(params.layout.num_kv_heads)),
          kThreads},
         queue.stream(), call);
}

}  // namespace switchyard::cuda
