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
/// are computed; a row of values is padded with zeros to whole vectors. Values that are prefixes of
/// their keys are stored once more, so that lanes can hold columns of them.
struct KeyValueLayout {
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t value_dim = 0;
  ValueSource value_source = ValueSource::kOwn;
  int64_t padded_dim = 0;  // value_dim, rounded up to 16
  int64_t keys_size = 0;   // of one head
  int64_t head_size = 0;   // keys, then values
  int64_t page_size = 0;

  KeyValueLayout() = default;
  explicit KeyValueLayout(const KeyValueSpec& spec)
      : num_kv_heads(spec.num_kv_heads),
        head_dim(spec.head_dim),
        value_dim(spec.value_dim),
        value_source(spec.values),
        padded_dim((spec.value_dim + 15) / 16 * 16),
        keys_size(head_dim * kKeysPerPage),
        head_size(keys_size + kKeysPerPage * padded_dim),
        page_size(num_kv_heads * head_size) {}
};

/// DecodeRows with addresses.
struct PagedDecodeRows {
  int64_t num_rows = 0;
  int64_t num_pages = 0;                // of each row
  const int32_t* positions = nullptr;   // [num_rows]; null: rows are given as sequences
  const int32_t* page_table = nullptr;  // [num_rows, num_pages]

  bool are_given() const { return positions != nullptr; }
};

/// The sequences of a call and where their pages are.
struct PagedSequences {
  std::vector<SequenceRows> sequences;
  std::vector<int32_t> page_table;
  PagedDecodeRows decode = {};
};

/// The rows as the host can read them now.
PagedSequences read_decode_rows(const PagedDecodeRows& rows);

struct StoreKeyValuesParams {
  const float* keys = nullptr;    // [T, G * d]
  const float* values = nullptr;  // [T, G * value_dim], null with ValueSource::kKeyPrefix
  KeyValueLayout layout;
  float* pages = nullptr;
};

struct AttentionParams {
  const float* queries = nullptr;  // [T, H * d]
  float* out = nullptr;            // [T, H * value_dim]
  const float* pages = nullptr;
  KeyValueLayout layout;
  const float* sinks = nullptr;  // [H] or null
  int64_t num_heads = 0;
  int64_t window = 0;  // 0: all positions
  float scale = 1.0f;
};

/// Most pairs of a row and a head in one AttentionBlock.
inline constexpr int64_t kMaxBlockPairs = kKeysPerPage;

/// Query rows of one sequence, for some heads of one key/value head, that share their passes over
/// pages. All positions lie in one page, so each earlier page ends below every row.
struct AttentionBlock {
  int64_t first_head = 0;
  int64_t num_heads = 0;                // num_heads * num_rows is 1 .. kMaxBlockPairs
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
/// the fixed lane tree, outputs one fma chain over ascending keys. Keys that a row does not see
/// take part in nothing, nor do pages and segments of such keys. With a sink s, maximum m and sum l
/// of all segments, and n = max(s, m): the outputs are multiplied by exp(m - n) and divided by
/// l * exp(m - n) + exp(s - n), each operation rounded.
void attention(OpContext& context, const AttentionParams& params, const PagedSequences& rows);

}  // namespace switchyard::cpu
