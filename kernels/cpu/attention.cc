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
  // `items_per_page` items for each page that a sequence's rows touch.
  ItemIndex(const PagedSequences& rows, int64_t items_per_page) {
    offsets_.reserve(rows.sequences.size() + 1);
    offsets_.push_back(0);
    for (const SequenceRows& sequence : rows.sequences) {
      offsets_.push_back(offsets_.back() + pages_of(sequence).count * items_per_page);
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

void store_head(const StoreKeyValuesParams& params, const RowsInPage& rows, int64_t page,
                int64_t head) {
  const KeyValueLayout& layout = params.layout;
  const int64_t place = rows.first_position % kKeysPerPage;
  const int64_t stride = layout.num_kv_heads * layout.head_dim;
  const int64_t source = rows.first_row * stride + head * layout.head_dim;
  float* keys = params.pages + page * layout.page_size + head * layout.head_size;
  for (int64_t i = 0; i < layout.head_dim; ++i) {
    for (int64_t row = 0; row < rows.num_rows; ++row) {
      keys[i * kKeysPerPage + place + row] = params.keys[source + row * stride + i];
    }
  }
  float* values = keys + layout.keys_size + place * layout.padded_dim;
  for (int64_t row = 0; row < rows.num_rows; ++row) {
    float* to = values + row * layout.padded_dim;
    std::copy_n(params.values + source + row * stride, layout.head_dim, to);
    std::fill(to + layout.head_dim, to + layout.padded_dim, 0.0f);
  }
}

}  // namespace

int64_t attention_scratch_size(const KeyValueLayout& layout) {
  // Queries, outputs of the segment and of all segments; the scores of a tile of at most 8 rows;
  // maximum and sum of the segment and of all segments.
  return kKeysPerPage * (layout.padded_dim * 3 + 8 + 4);
}

void store_key_values(OpContext& context, const StoreKeyValuesParams& params,
                      const PagedSequences& rows) {
  // Whole pages to a task: rows that are neighbours in a page share cache lines of its keys.
  const ItemIndex items(rows, params.layout.num_kv_heads);
  context.pool.parallel_for(items.size(), [&](int64_t item, int) {
    const size_t s = items.sequence_of(item);
    const SequenceRows& sequence = rows.sequences[s];
    const int64_t local = item - items.offset(s);
    const int64_t page = pages_of(sequence).first + local / params.layout.num_kv_heads;
    const int32_t stored = rows.page_table[static_cast<size_t>(sequence.first_page_entry + page)];
    store_head(params, rows_in_page(sequence, page), stored, local % params.layout.num_kv_heads);
  });
}

void attention(OpContext& context, const AttentionParams& params, const PagedSequences& rows) {
  const ItemIndex items(rows, params.num_heads);
  context.reserve_scratch(attention_scratch_size(params.layout));
  context.pool.parallel_for(items.size(), [&](int64_t item, int thread) {
    const size_t s = items.sequence_of(item);
    const SequenceRows& sequence = rows.sequences[s];
    const PageRange pages = pages_of(sequence);
    const int64_t local = item - items.offset(s);
    // All blocks of a head one after the other, so that its keys and values stay in the cache; the
    // last block, which has the most keys, first, so that threads finish together.
    const int64_t page = pages.first + pages.count - 1 - local % pages.count;
    const RowsInPage block = rows_in_page(sequence, page);
    context.kernels.attention_block(
        params,
        {.head = local / pages.count,
         .first_row = block.first_row,
         .num_rows = block.num_rows,
         .first_position = block.first_position,
         .num_keys = sequence.num_keys,
         .page_table = rows.page_table.data() + sequence.first_page_entry},
        context.scratch(thread));
  });
}

}  // namespace switchyard::cpu
