// Attention over stored sequences, for tests: data, calls in chunks and a reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {

/// One attention layer.
struct Heads {
  int64_t num_heads, num_kv_heads, head_dim;
  int64_t value_dim = head_dim;
  int64_t window = 0;
  std::vector<float> sinks = {};
  ValueSource values = ValueSource::kOwn;

  KeyValueSpec spec() const { return {num_kv_heads, head_dim, value_dim, values}; }
  int64_t query_width() const { return num_heads * head_dim; }
  int64_t key_width() const { return num_kv_heads * head_dim; }
  int64_t value_width() const { return num_kv_heads * value_dim; }
  int64_t out_width() const { return num_heads * value_dim; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }
  /// The first position that a row at `position` sees.
  int64_t first_key(int64_t position) const {
    return window == 0 ? 0 : std::max<int64_t>(0, position + 1 - window);
  }
};

/// Queries, keys and values of one sequence, rows in order of position.
struct Sequence {
  int64_t length = 0;
  std::vector<float> q, k, v;
};

inline Sequence make_sequence(const Heads& h, int64_t length, uint32_t seed) {
  // Scores spread over some units, so that maxima move and weights differ.
  return {length, random_floats(length * h.query_width(), seed, 3.0f),
          random_floats(length * h.key_width(), seed + 1, 1.0f),
          random_floats(length * h.value_width(), seed + 2, 1.0f)};
}

/// Rows [begin, end) of one of the sequences in one call.
struct Chunk {
  size_t sequence;
  int64_t begin, end;
};
using Calls = std::vector<std::vector<Chunk>>;

enum class PageOrder { kAscending, kShuffled };

/// The page table of all sequences and where each one's part starts.
struct Pages {
  std::vector<int32_t> table;
  std::vector<int64_t> first_entry;
};

inline Pages make_pages(const std::vector<Sequence>& sequences, PageOrder order) {
  Pages pages;
  int64_t count = 0;
  for (const Sequence& s : sequences) {
    pages.first_entry.push_back(count);
    count += pages_of(s.length);
  }
  pages.table.resize(static_cast<size_t>(count));
  std::iota(pages.table.begin(), pages.table.end(), 0);
  if (order == PageOrder::kShuffled) {
    std::shuffle(pages.table.begin(), pages.table.end(), std::mt19937(5));
  }
  return pages;
}

/// Gives up the pages before the windows of all later rows of a sequence.
inline void drop_pages(const Heads& h, const SequenceRows& rows, std::vector<int32_t>& table) {
  for (int64_t page = 0; page < h.first_key(rows.first_position) / kKeysPerPage; ++page) {
    table[static_cast<size_t>(rows.first_page_entry + page)] = -1;
  }
}

inline std::vector<float> rows_of(const std::vector<float>& all, int64_t begin, int64_t end,
                                  int64_t width) {
  return {all.begin() + begin * width, all.begin() + end * width};
}

/// Stores and attends all rows in the given calls; returns the outputs of sequence 0, 1, ...
inline std::vector<float> run(TestDevice& device, const Heads& h,
                              const std::vector<Sequence>& sequences, const Calls& calls,
                              PageOrder order = PageOrder::kShuffled) {
  Backend& backend = device.backend();
  Pages pages = make_pages(sequences, order);
  const auto num_pages = static_cast<int64_t>(pages.table.size());
  const DeviceBuffer memory = backend.allocate(num_pages * backend.key_value_page_bytes(h.spec()));
  const KeyValuePages store{h.spec(), memory.data(), num_pages};
  Tensor sinks;
  if (!h.sinks.empty()) sinks = device.put(h.sinks, {h.num_heads});
  std::vector<std::vector<float>> outputs(sequences.size());
  for (const auto& chunks : calls) {
    std::vector<SequenceRows> rows;
    std::vector<float> q, k, v;
    int64_t total = 0;
    for (const Chunk& c : chunks) {
      const Sequence& s = sequences[c.sequence];
      rows.push_back({total, c.end - c.begin, c.begin, pages.first_entry[c.sequence]});
      append(q, rows_of(s.q, c.begin, c.end, h.query_width()));
      append(k, rows_of(s.k, c.begin, c.end, h.key_width()));
      append(v, rows_of(s.v, c.begin, c.end, h.value_width()));
      drop_pages(h, rows.back(), pages.table);
      total += c.end - c.begin;
    }
    const Tensor queries = device.put(q, {total, h.query_width()});
    const Tensor keys = device.put(k, {total, h.key_width()});
    const Tensor values = device.put(v, {total, h.value_width()});
    const Tensor out = device.make({total, h.out_width()});
    const bool is_prefix = h.values == ValueSource::kKeyPrefix;
    backend.store_key_values(
        device.stream(),
        {keys.view(), is_prefix ? TensorView{} : values.view(), rows, pages.table, store});
    backend.attention(device.stream(), {queries.view(), h.num_heads, h.scale(), rows, pages.table,
                                        store, out.view(), h.window, sinks.view()});
    const std::vector<float> result = device.get(out);
    for (size_t i = 0; i < chunks.size(); ++i) {
      append(
          outputs[chunks[i].sequence],
          rows_of(result, rows[i].first_row, rows[i].first_row + rows[i].num_rows, h.out_width()));
    }
  }
  std::vector<float> all;
  for (const auto& output : outputs) append(all, output);
  return all;
}

/// All rows of all sequences in one call.
inline Calls whole(const std::vector<Sequence>& sequences) {
  Calls calls(1);
  for (size_t s = 0; s < sequences.size(); ++s) calls[0].push_back({s, 0, sequences[s].length});
  return calls;
}

/// The rows of sequence 0 in calls that end at the cuts and at its end.
inline Calls cut_at(const std::vector<int64_t>& cuts, int64_t length) {
  Calls calls;
  int64_t begin = 0;
  for (const int64_t cut : cuts) {
    calls.push_back({{0, begin, cut}});
    begin = cut;
  }
  calls.push_back({{0, begin, length}});
  return calls;
}

/// The rows of sequence 0, each in a call of its own.
inline Calls row_by_row(int64_t length) {
  Calls calls;
  for (int64_t row = 0; row < length; ++row) calls.push_back({{0, row, row + 1}});
  return calls;
}

/// Softmax attention of one row and head in double precision.
inline void expect_row(const Heads& h, const Sequence& s, int64_t row, int64_t head,
                       const float* out) {
  const int64_t kv_head = head / (h.num_heads / h.num_kv_heads);
  const float* query = s.q.data() + (row * h.num_heads + head) * h.head_dim;
  const float* keys = s.k.data() + kv_head * h.head_dim;
  const bool is_prefix = h.values == ValueSource::kKeyPrefix;
  const int64_t value_stride = is_prefix ? h.key_width() : h.value_width();
  const float* values = is_prefix ? keys : s.v.data() + kv_head * h.value_dim;
  std::vector<double> expected(static_cast<size_t>(h.value_dim));
  double sum = h.sinks.empty() ? 0.0 : std::exp(h.sinks[static_cast<size_t>(head)]);
  for (int64_t key = h.first_key(row); key <= row; ++key) {
    double score = 0;
    for (int64_t i = 0; i < h.head_dim; ++i) {
      score += static_cast<double>(query[i]) * keys[key * h.key_width() + i];
    }
    const double weight = std::exp(score * h.scale());
    sum += weight;
    for (int64_t i = 0; i < h.value_dim; ++i) {
      expected[static_cast<size_t>(i)] += weight * values[key * value_stride + i];
    }
  }
  for (int64_t i = 0; i < h.value_dim; ++i) {
    // Scores are below 16, so their roundings move a weight by some 1e-6; values are below 1.
    ASSERT_NEAR(out[i], expected[static_cast<size_t>(i)] / sum, 1e-5)
        << "row " << row << " head " << head << " column " << i;
  }
}

/// Every `step`-th row from the last on.
inline void expect_reference(const Heads& h, const Sequence& s, const std::vector<float>& out,
                             int64_t step) {
  for (int64_t row = s.length - 1; row >= 0; row -= step) {
    for (int64_t head = 0; head < h.num_heads; ++head) {
      expect_row(h, s, row, head, out.data() + (row * h.num_heads + head) * h.value_dim);
    }
  }
}

}  // namespace switchyard::testing
