// Stored keys and values, and causal attention over them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

/// What a page holds, in floats: for each key/value head, its keys [head_dim][kKeysPerPage], then
/// its values [kKeysPerPage][padded_dim]. Keys are transposed so that lanes hold keys when scores
/// are computed; a row of values is padded with zeros to whole vectors.
struct KeyValueLayout {
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t padded_dim = 0;  // head_dim, rounded up to 16
  int64_t keys_size = 0;   // of one head
  int64_t head_size = 0;   // keys, then values
  int64_t page_size = 0;

  KeyValueLayout() = default;
  explicit KeyValueLayout(const KeyValueSpec& spec)
      : num_kv_heads(spec.num_kv_heads),
        head_dim(spec.head_dim),
        padded_dim((spec.head_dim + 15) / 16 * 16),
        keys_size(head_dim * kKeysPerPage),
        head_size(keys_size + kKeysPerPage * padded_dim),
        page_size(num_kv_heads * head_size) {}
};

/// The sequences of a call and where their pages are.
struct PagedSequences {
  std::vector<SequenceRows> sequences;
  std::vector<int32_t> page_table;
};

struct StoreKeyValuesParams {
  const float* keys = nullptr;    // [T, G * d]
  const float* values = nullptr;  // [T, G * d]
  KeyValueLayout layout;
  float* pages = nullptr;
};

struct AttentionParams {
  const float* queries = nullptr;  // [T, H * d]
  float* out = nullptr;            // [T, H * d]
  const float* pages = nullptr;
  KeyValueLayout layout;
  int64_t num_heads = 0;
  float scale = 1.0f;
};

/// Query rows of one sequence and head that share their passes over pages: all of their positions
/// lie in one page, so each earlier page counts whole for every row.
struct AttentionBlock {
  int64_t head = 0;
  int64_t first_row = 0;                // in queries and out
  int64_t num_rows = 0;                 // 1 .. kKeysPerPage
  int64_t first_position = 0;           // of first_row
  int64_t num_keys = 0;                 // of the sequence; above all rows, or at or below them
  const int32_t* page_table = nullptr;  // of the sequence: entry i is the page of its i-th 64 keys
};

/// Floats of workspace for one AttentionBlock.
int64_t attention_scratch_size(const KeyValueLayout& layout);

/// See StoreKeyValuesArgs.
void store_key_values(OpContext& context, const StoreKeyValuesParams& params,
                      const PagedSequences& rows);

/// See AttentionArgs. Queries are multiplied by scale and rounded first. In a page: maximum over
/// keys, exponentials relative to the running maximum, their sum over four ascending vectors and
/// the fixed lane tree, outputs one fma chain over ascending keys. Keys behind a row's position
/// take part in nothing.
void attention(OpContext& context, const AttentionParams& params, const PagedSequences& rows);

}  // namespace switchyard::cpu
