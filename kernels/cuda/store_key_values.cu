#include "kernels/cuda/store_key_values.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/paged_rows.h"

namespace switchyard::cuda {
namespace {

constexpr unsigned kThreads = 128;

/// A block a row and key/value head.
__global__ void store_key_values_kernel(cpu::StoreKeyValuesParams params, PagedRows rows) {
  const RowRun run = rows.find(blockIdx.x);
  const int64_t in_run = blockIdx.x - run.first_item;
  const int64_t row = run.rows.first_row + in_run;
  const int64_t position = run.rows.first_position + in_run;
  const int64_t page = rows.page_table[run.rows.first_page_entry + position / kKeysPerPage];
  const int64_t place = position % kKeysPerPage;
  const cpu::KeyValueLayout& layout = params.layout;
  const int64_t head = blockIdx.y;
  const bool is_prefix = layout.value_source == ValueSource::kKeyPrefix;
  const float* const key = params.keys + (row * layout.num_kv_heads + head) * layout.head_dim;
  const float* const value =
      is_prefix ? key : params.values + (row * layout.num_kv_heads + head) * layout.value_dim;
  float* const keys = params.pages + page * layout.page_size + head * layout.head_size;
  float* const values = keys + layout.keys_size + place * layout.padded_dim;
  for (int64_t i = threadIdx.x; i < layout.head_dim; i += kThreads) {
    keys[i * kKeysPerPage + place] = key[i];
  }
  for (int64_t i = threadIdx.x; i < layout.padded_dim; i += kThreads) {
    values[i] = i < layout.value_dim ? value[i] : 0.0f;
  }
}

}  // namespace

void store_key_values(CudaQueue& queue, const cpu::StoreKeyValuesParams& params,
                      const cpu::PagedSequences& rows) {
  const PagedRows paged =
      upload_rows(queue, rows, [](const SequenceRows& sequence) { return sequence.num_rows; });
  launch(store_key_values_kernel,
         {dim3(static_cast<unsigned>(paged.num_items),
               static_cast<unsigned>(params.layout.num_kv_heads)),
          kThreads},
         queue.stream(), params, paged);
}

}  // namespace switchyard::cuda
