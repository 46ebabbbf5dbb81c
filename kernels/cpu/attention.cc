#include "kernels/cpu/attention.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {
namespace {

// Pages that rows of one sequence touch, as the index of the first and their number.
struct PageRange {
  int64_t first = 0;
  int64_t count = 0;
};

PageRange pages_of(const SequenceRows& sequence) {
  if (sequence.num_rows == 0) return {};
  const int64_t first = sequence.first_position / kKeysPerPage;
  const int64_t last = (sequence.first_position + sequence.num_rows - 1) / kKeysPerPage;
  return {first, last - first + 1};
}

// Rows of a sequence whose positions lie in one page.
struct RowsInPage {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int64_t first_position = 0;
};

RowsInPage rows_in_page(const SequenceRows& sequence, int64_t page) {
  const int64_t begin = std::max(sequence.first_position, page * kKeysPerPage);
  const int64_t end =
      std::min(sequence.first_position + sequence.num_rows, (page + 1) * kKeysPerPage);
  return {sequence.first_row + begin - sequence.first_position, end - begin, begin};
}

// Numbers the work items of all sequences: item i of sequence s is number offsets[s] + i.
class ItemIndex {
 public:
  // items_per_page(sequence) items for each page that a sequence's rows touch.
  template <typename ItemsPerPage>
  ItemIndex(const PagedSequences& rows, const ItemsPerPage& items_per_page) {
    offsets_.reserve(rows.sequences.size() + 1);
    offsets_.push_back(0);
    for (const SequenceRows& sequence : rows.sequences) {
      offsets_.push_back(offsets_.back() + pages_of(sequence).count * items_per_page(sequence));
    }
  }

  int64_t size() const { return offsets_.back(); }
  size_t sequence_of(int64_t item) const {
    const auto next = std::upper_bound(offsets_.begin(), offsets_.end(), item);
    return static_cast<size_t>(next - offsets_.begin()) - 1;
  }
  int64_t offset(size_t sequence) const { return offsets_[sequence]; }

 private:
  std::vector<int64_t> offsets_;
};

void store_keys(const StoreKeyValuesParams& params, const RowsInPage& rows, int64_t head,
                float* keys) {
  const int64_t dim = params.layout.head_dim;
  const int64_t stride = params.layout.num_kv_heads * dim;
  const float* from = params.keys + rows.first_row * stride + head * dim;
  for (int64_t i = 0; i < dim; ++i) {
    for (int64_t row = 0; row < rows.num_rows; ++row) {
      keys[i * kKeysPerPage + row] = from[row * stride + i];
    }
  }
}

void store_values(const StoreKeyValuesParams& params, const RowsInPage& rows, int64_t head,
                  float* values) {
  const KeyValueLayout& layout = params.layout;
  const bool is_prefix = layout.value_source == ValueSource::kKeyPrefix;
  const int64_t dim = is_prefix ? layout.head_dim : layout.value_dim;
  const int64_t stride = layout.num_kv_heads * dim;
  const float* from =
      (is_prefix ? params.keys : params.values) + rows.first_row * stride + head * dim;
  for (int64_t row = 0; row < rows.num_rows; ++row) {
    float* to = values + row * layout.padded_dim;
    std::copy_n(from + row * stride, layout.value_dim, to);
    std::fill(to + layout.value_dim, to + layout.padded_dim, 0.0f);
  }
}

void store_head(const StoreKeyValuesParams& params, const RowsInPage& rows, int64_t page,
                int64_t head) {
  const KeyValueLayout& layout = params.layout;
  const int64_t place = rows.first_position % kKeysPerPage;
  float* keys = params.pages + page * layout.page_size + head * layout.head_size;
  store_keys(params, rows, head, keys + place);
  store_values(params, rows, head, keys + layout.keys_size + place * layout.padded_dim);
}

// How the query heads of one key/value head are cut into blocks of nearly equal size.
struct HeadBlocks {
  int64_t heads = 1;     // that share a key/value head
  int64_t per_head = 1;  // blocks of these
  int64_t per_page = 1;  // blocks of all heads

  int64_t first_head(int64_t block) const {
    return block / per_head * heads + heads * (block % per_head) / per_head;
  }
};

// Heads share a block, and so their passes over pages, where the sequence has too few rows to fill
// it, as long as `most` heads in a block leave work for every thread. Which ones share changes no
// number.
HeadBlocks head_blocks(const AttentionParams& params, const SequenceRows& sequence, int64_t most) {
  HeadBlocks blocks;
  blocks.heads = params.num_heads / params.layout.num_kv_heads;
  const int64_t rows = std::clamp<int64_t>(sequence.num_rows, 1, kKeysPerPage);
  const int64_t fit = std::clamp<int64_t>(kMaxBlockPairs / rows, 1, most);
  blocks.per_head = (blocks.heads + fit - 1) / fit;
  blocks.per_page = blocks.per_head * params.layout.num_kv_heads;
  return blocks;
}

// The most heads in a block with which there are still some blocks for every thread.
int64_t most_heads(const AttentionParams& params, const PagedSequences& rows, int num_threads) {
  constexpr int64_t kBlocksPerThread = 4;
  const ItemIndex single(rows, [&](const SequenceRows&) { return params.num_heads; });
  return std::max<int64_t>(1, single.size() / (kBlocksPerThread * num_threads));
}

}  // namespace

PagedSequences read_decode_rows(const PagedDecodeRows& rows) {
  PagedSequences read;
  for (int64_t row = 0; row < rows.num_rows; ++row) {
    read.sequences.push_back({.first_row = row,
                              .num_rows = 1,
                              .first_position = rows.positions[row],
                              .first_page_entry = row * rows.num_pages});
  }
  read.page_table.assign(rows.page_table, rows.page_table + rows.num_rows * rows.num_pages);
  return read;
}

int64_t attention_scratch_size(const KeyValueLayout& layout) {
  // For each pair its query, outputs of the segment and of all segments, scores; maximum and sum of
  // the segment and of all segments.
  return kMaxBlockPairs * (layout.head_dim + 2 * layout.padded_dim + kKeysPerPage + 4);
}

void store_key_values(OpContext& context, const StoreKeyValuesParams& params,
                      const PagedSequences& rows) {
  // Whole pages to a task: rows that are neighbours in a page share cache lines of its keys.
  const int64_t num_kv_heads = params.layout.num_kv_heads;
  const ItemIndex items(rows, [&](const SequenceRows&) { return num_kv_heads; });
  context.pool.parallel_for(items.size(), [&](int64_t item, int) {
    const size_t s = items.sequence_of(item);
    const SequenceRows& sequence = rows.sequences[s];
    const int64_t local = item - items.offset(s);
    const int64_t page = pages_of(sequence).first + local / num_kv_heads;
    const int32_t stored = rows.page_table[static_cast<size_t>(sequence.first_page_entry + page)];
    store_head(params, rows_in_page(sequence, page), stored, local % num_kv_heads);
  });
}

void attention(OpContext& context, const AttentionParams& params, const PagedSequences& rows) {
  const int64_t most = most_heads(params, rows, context.pool.num_threads());
  const ItemIndex items(rows, [&](const SequenceRows& sequence) {
    return head_blocks(params, sequence, most).per_page;
  });
  context.reserve_scratch(attention_scratch_size(params.layout));
  context.pool.parallel_for(items.size(), [&](int64_t item, int thread) {
    const size_t s = items.sequence_of(item);
    const SequenceRows& sequence = rows.sequences[s];
    const PageRange pages = pages_of(sequence);
    const HeadBlocks blocks = head_blocks(params, sequence, most);
    const int64_t local = item - items.offset(s);
    const int64_t first_head = blocks.first_head(local / pages.count);
    // All blocks of a head one after the other, so that its keys and values stay in the cache; the
    // last block, which has the most keys, first, so that threads finish together.
    const int64_t page = pages.first + pages.count - 1 - local % pages.count;
    const RowsInPage block = rows_in_page(sequence, page);
    context.kernels.attention_block(
        params,
        {.first_head = first_head,
         .num_heads = blocks.first_head(local / pages.count + 1) - first_head,
         .first_row = block.first_row,
         .num_rows = block.num_rows,
         .first_position = block.first_position,
         .num_keys = sequence.num_keys,
         .page_table = rows.page_table.data() + sequence.first_page_entry},
        context.scratch(thread));
  });
}

}  // namespace switchyard::cpu
