// Attention on tensor cores, and the pages of 16-bit keys and values that it reads.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cpu/attention.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// The longest values that tensor_attention() takes: a warp's sums of 128 columns of them are in
/// registers.
inline constexpr int64_t kMaxTensorValueDim = 512;

/// What a page holds, in 16-bit numbers: for each key/value head its keys [kKeysPerPage]
/// [key_stride], then its values [kKeysPerPage][value_stride], padded with zeros to whole steps of
/// 16. Values that are prefixes of their keys are not stored again.
struct TensorKeyValueLayout {
  int64_t key_stride = 0;
  int64_t value_stride = 0;  // 0: prefixes
  int64_t head_size = 0;
  int64_t page_size = 0;

  TensorKeyValueLayout() = default;
  explicit TensorKeyValueLayout(const cpu::KeyValueLayout& layout)
      : key_stride((layout.head_dim + 15) / 16 * 16),
        value_stride(layout.value_source == ValueSource::kOwn ? layout.padded_dim : 0),
        head_size(kKeysPerPage * (key_stride + value_stride)),
        page_size(layout.num_kv_heads * head_size) {}
};

/// Bytes of a page.
inline int64_t tensor_page_bytes(const KeyValueSpec& spec) {
  return TensorKeyValueLayout(cpu::KeyValueLayout(spec)).page_size * 2;
}

/// Rounds keys and values to bf16 or fp16 and stores them.
void store_tensor_key_values(CudaQueue& queue, const cpu::StoreKeyValuesParams& params,
                             const cpu::PagedSequences& rows, Arithmetic arithmetic);

/// As cpu::attention(), but: queries, scaled in fp32, are rounded to bf16 or fp16 like the stored
/// keys and values, and so are the exponentials that weigh values (not in their sum). A score takes
/// its products 16 dimensions at a time in ascending order, an output 16 keys at a time; all sums
/// are fp32. A row's bits depend on what it sees alone. Throws Error(kResource) where the heads are
/// too long for the GPU's shared memory.
void tensor_attention(CudaQueue& queue, const cpu::AttentionParams& params,
                      const cpu::PagedSequences& rows, Arithmetic arithmetic);

}  // namespace switchyard::cuda
