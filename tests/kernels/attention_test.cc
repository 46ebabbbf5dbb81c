#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

struct Heads {
  int64_t num_heads, num_kv_heads, head_dim;
};

// Queries, keys and values of one sequence, rows in order of position.
struct Sequence {
  int64_t length = 0;
  std::vector<float> q, k, v;
};

Sequence make_sequence(const Heads& h, int64_t length, uint32_t seed) {
  // Scores spread over some units, so that maxima move and weights differ.
  return {length, random_floats(length * h.num_heads * h.head_dim, seed, 3.0f),
          random_floats(length * h.num_kv_heads * h.head_dim, seed + 1, 1.0f),
          random_floats(length * h.num_kv_heads * h.head_dim, seed + 2, 1.0f)};
}

// Rows [begin, end) of one of the sequences in one call.
struct Chunk {
  size_t sequence;
  int64_t begin, end;
};
using Calls = std::vector<std::vector<Chunk>>;

enum class PageOrder { kAscending, kShuffled };

float scale_of(const Heads& h) { return 1.0f / std::sqrt(static_cast<float>(h.head_dim)); }

// The page table of all sequences and where each one's part starts.
struct Pages {
  std::vector<int32_t> table;
  std::vector<int64_t> first_entry;
};

Pages make_pages(const std::vector<Sequence>& sequences, PageOrder order) {
  Pages pages;
  int64_t count = 0;
  for (const Sequence& s : sequences) {
    pages.first_entry.push_back(count);
    count += (s.length + kKeysPerPage - 1) / kKeysPerPage;
  }
  pages.table.resize(static_cast<size_t>(count));
  std::iota(pages.table.begin(), pages.table.end(), 0);
  if (order == PageOrder::kShuffled) {
    std::shuffle(pages.table.begin(), pages.table.end(), std::mt19937(5));
  }
  return pages;
}

std::vector<float> rows_of(const std::vector<float>& all, int64_t begin, int64_t end,
                           int64_t width) {
  return {all.begin() + begin * width, all.begin() + end * width};
}

// Stores and attends all rows in the given calls; returns the outputs of sequence 0, 1, ...
std::vector<float> run(TestDevice& device, const Heads& h, const std::vector<Sequence>& sequences,
                       const Calls& calls, PageOrder order = PageOrder::kShuffled) {
  Backend& backend = device.backend();
  const Pages pages = make_pages(sequences, order);
  const KeyValueSpec spec{h.num_kv_heads, h.head_dim, h.head_dim};
  const auto num_pages = static_cast<int64_t>(pages.table.size());
  const DeviceBuffer memory = backend.allocate(num_pages * backend.key_value_page_bytes(spec));
  const KeyValuePages store{spec, memory.data(), num_pages};
  const int64_t q_width = h.num_heads * h.head_dim;
  const int64_t kv_width = h.num_kv_heads * h.head_dim;
  std::vector<std::vector<float>> outputs(sequences.size());
  for (const auto& chunks : calls) {
    std::vector<SequenceRows> rows;
    std::vector<float> q, k, v;
    int64_t total = 0;
    for (const Chunk& c : chunks) {
      const Sequence& s = sequences[c.sequence];
      rows.push_back({total, c.end - c.begin, c.begin, pages.first_entry[c.sequence]});
      append(q, rows_of(s.q, c.begin, c.end, q_width));
      append(k, rows_of(s.k, c.begin, c.end, kv_width));
      append(v, rows_of(s.v, c.begin, c.end, kv_width));
      total += c.end - c.begin;
    }
    const Tensor queries = device.put(q, {total, q_width});
    const Tensor keys = device.put(k, {total, kv_width});
    const Tensor values = device.put(v, {total, kv_width});
    const Tensor out = device.make({total, q_width});
    backend.store_key_values(device.stream(),
                             {keys.view(), values.view(), rows, pages.table, store});
    backend.attention(device.stream(), {queries.view(), h.num_heads, scale_of(h), rows, pages.table,
                                        store, out.view()});
    const std::vector<float> result = device.get(out);
    for (size_t i = 0; i < chunks.size(); ++i) {
      append(outputs[chunks[i].sequence],
             rows_of(result, rows[i].first_row, rows[i].first_row + rows[i].num_rows, q_width));
    }
  }
  std::vector<float> all;
  for (const auto& output : outputs) append(all, output);
  return all;
}

// All rows of all sequences in one call.
Calls whole(const std::vector<Sequence>& sequences) {
  Calls calls(1);
  for (size_t s = 0; s < sequences.size(); ++s) calls[0].push_back({s, 0, sequences[s].length});
  return calls;
}

// Softmax attention of one row and head in double precision.
void expect_row(const Heads& h, const Sequence& s, int64_t row, int64_t head, const float* out) {
  const int64_t d = h.head_dim;
  const int64_t kv_width = h.num_kv_heads * d;
  const int64_t kv_offset = head / (h.num_heads / h.num_kv_heads) * d;
  const float* query = s.q.data() + (row * h.num_heads + head) * d;
  std::vector<double> weights;
  double sum = 0;
  for (int64_t key = 0; key <= row; ++key) {
    double score = 0;
    for (int64_t i = 0; i < d; ++i) {
      score +=
          static_cast<double>(query[i]) * s.k[static_cast<size_t>(key * kv_width + kv_offset + i)];
    }
    weights.push_back(std::exp(score * scale_of(h)));
    sum += weights.back();
  }
  for (int64_t i = 0; i < d; ++i) {
    double expected = 0;
    for (int64_t key = 0; key <= row; ++key) {
      expected += weights[static_cast<size_t>(key)] / sum *
                  s.v[static_cast<size_t>(key * kv_width + kv_offset + i)];
    }
    // Scores are below 16, so their roundings move a weight by some 1e-6; values are below 1.
    ASSERT_NEAR(out[i], expected, 1e-5) << "row " << row << " head " << head << " column " << i;
  }
}

void expect_reference(const Heads& h, const Sequence& s, const float* out, int64_t step) {
  for (int64_t row = s.length - 1; row >= 0; row -= step) {
    for (int64_t head = 0; head < h.num_heads; ++head) {
      expect_row(h, s, row, head, out + (row * h.num_heads + head) * h.head_dim);
    }
  }
}

TEST(Attention, MatchesDoubleReferenceOnAllVariants) {
  for (const Heads& h :
       {Heads{2, 2, 15}, {1, 1, 1}, {4, 2, 16}, {6, 1, 20}, {2, 2, 64}, {1, 1, 80}}) {
    for (const int64_t length : {1, 63, 64, 65, 150}) {
      const std::vector<Sequence> sequences = {make_sequence(h, length, 1)};
      const std::vector<float> out = same_on_all_variants(
          [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
      expect_reference(h, sequences[0], out.data(), length > 70 ? 7 : 1);
    }
  }
}

TEST(Attention, JoinsSegments) {
  const Heads h{1, 1, 5};
  for (const int64_t length : {1024, 1025, 1100, 2100}) {
    const std::vector<Sequence> sequences = {make_sequence(h, length, 3)};
    const std::vector<float> out = same_on_all_variants(
        [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
    expect_reference(h, sequences[0], out.data(), 97);
  }
}

TEST(Attention, SplitIntoCallsGivesTheSameBits) {
  const Heads h{2, 1, 20};
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 2, 1});
  const std::vector<Sequence> sequences = {make_sequence(h, 1200, 1)};
  const std::vector<float> expected = run(device, h, sequences, whole(sequences));
  for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{5},
                                           {63, 64, 65},
                                           {1, 2, 3, 130},
                                           {1023, 1024, 1025},
                                           {37, 900, 1199}}) {
    Calls calls;
    int64_t begin = 0;
    for (const int64_t cut : cuts) {
      calls.push_back({{0, begin, cut}});
      begin = cut;
    }
    calls.push_back({{0, begin, 1200}});
    expect_same_bits(expected, run(device, h, sequences, calls), "cut");
  }
}

TEST(Attention, RowByRowGivesTheSameBits) {
  const Heads h{1, 1, 17};
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const std::vector<Sequence> sequences = {make_sequence(h, 140, 1)};
  Calls calls;
  for (int64_t row = 0; row < 140; ++row) calls.push_back({{0, row, row + 1}});
  expect_same_bits(run(device, h, sequences, whole(sequences)), run(device, h, sequences, calls),
                   "row by row");
}

TEST(Attention, PackedSequencesGiveTheSameBitsAsAlone) {
  const Heads h{2, 2, 15};
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  std::vector<Sequence> sequences;
  std::vector<float> alone;
  uint32_t seed = 1;
  for (const int64_t length : {1, 70, 64, 3, 200}) {
    sequences.push_back(make_sequence(h, length, seed));
    seed += 3;
    append(alone, run(device, h, {sequences.back()}, {{{0, 0, length}}}));
  }
  expect_same_bits(alone, run(device, h, sequences, whole(sequences)), "packed");
  // In two calls that each hold parts of several sequences, one of them empty.
  const Calls mixed = {{{4, 0, 90}, {1, 0, 1}, {2, 0, 64}, {0, 0, 0}},
                       {{1, 1, 70}, {0, 0, 1}, {4, 90, 200}, {3, 0, 3}}};
  expect_same_bits(alone, run(device, h, sequences, mixed), "mixed");
}

TEST(Attention, PlacesOfPagesDoNotMatter) {
  const Heads h{1, 1, 8};
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 1, 1});
  const std::vector<Sequence> sequences = {make_sequence(h, 300, 1), make_sequence(h, 200, 4)};
  expect_same_bits(run(device, h, sequences, whole(sequences), PageOrder::kAscending),
                   run(device, h, sequences, whole(sequences), PageOrder::kShuffled), "shuffled");
}

// The outputs of the first 70 rows after `value` was stored in all keys and values behind them.
std::vector<float> first_rows_beside(float value) {
  const Heads h{1, 1, 16};
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  Backend& backend = device.backend();
  Sequence s = make_sequence(h, 128, 1);
  std::fill(s.k.begin() + 70 * 16, s.k.end(), value);
  std::fill(s.v.begin() + 70 * 16, s.v.end(), value);
  const KeyValueSpec spec{1, 16, 16};
  const DeviceBuffer memory = backend.allocate(2 * backend.key_value_page_bytes(spec));
  const KeyValuePages pages{spec, memory.data(), 2};
  const Tensor q = device.put(s.q, {128, 16});
  const Tensor k = device.put(s.k, {128, 16});
  const Tensor v = device.put(s.v, {128, 16});
  const Tensor out = device.make({128, 16});
  backend.store_key_values(device.stream(), {k.view(), v.view(), {{0, 128, 0, 0}}, {0, 1}, pages});
  backend.attention(device.stream(),
                    {q.view(), 1, 0.25f, {{0, 70, 0, 0}}, {0, 1}, pages, out.view()});
  return device.get<float>(out.view().rows(0, 70));
}

TEST(Attention, LaterKeysContributeNothing) {
  const std::vector<float> expected = first_rows_beside(0.0f);
  EXPECT_TRUE(
      std::all_of(expected.begin(), expected.end(), [](float x) { return std::isfinite(x); }));
  for (const float value : {1e38f, -1e38f, std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
    expect_same_bits(expected, first_rows_beside(value), "later keys");
  }
}

TEST(Attention, NonFiniteInputsStayVisible) {
  const Heads h{1, 1, 16};
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int which : {0, 1, 2}) {
      Sequence s = make_sequence(h, 80, 1);
      (which == 0 ? s.q : which == 1 ? s.k : s.v)[30 * 16 + 3] = bad;
      const std::vector<float> out = run(device, h, {s}, {{{0, 0, 80}}});
      EXPECT_TRUE(std::isfinite(out[29 * 16 + 3]));
      EXPECT_FALSE(std::isfinite(out[30 * 16 + 3])) << which;
    }
  }
}

TEST(Attention, RefusesPagesThatAreNotThere) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  Backend& backend = device.backend();
  const KeyValueSpec spec{1, 16, 16};
  const DeviceBuffer memory = backend.allocate(backend.key_value_page_bytes(spec));
  const KeyValuePages pages{spec, memory.data(), 1};
  const Tensor x = device.put(random_floats(70 * 16, 1), {70, 16});
  const Tensor out = device.make({70, 16});
  const auto attend = [&](const SequenceRows& rows, std::vector<int32_t> table) {
    backend.attention(device.stream(),
                      {x.view(), 1, 1.0f, {rows}, std::move(table), pages, out.view()});
  };
  expect_error(
      [&] {
        attend({0, 70, 0, 0}, {0});
      },
      ErrorKind::kInternal, "attention: page_table has 1 entries, sequence 0 needs entry 1");
  expect_error(
      [&] {
        attend({0, 70, 0, 0}, {0, 1});
      },
      ErrorKind::kInternal, "attention: page_table [1] is page 1 of 1");
  expect_error([&] { attend({0, 71, 0, 0}, {0, 0}); }, ErrorKind::kInternal, "sequences [0]");
  expect_error([&] { attend({0, 4, -1, 0}, {0}); }, ErrorKind::kInternal, "sequences [0]");
}

TEST(Attention, PaddingSeesTheSequenceAndNobodySeesPadding) {
  const Heads h{2, 1, 5};
  for (const int64_t length : {1, 63, 64, 65, 130, 1030}) {
    const int64_t padded = length + 70;
    const Sequence all = make_sequence(h, padded, 11);
    const std::vector<float> out = same_on_all_variants([&](TestDevice& device) {
      Backend& backend = device.backend();
      const KeyValueSpec spec{h.num_kv_heads, h.head_dim, h.head_dim};
      const int64_t num_pages = pages_of(padded);
      const DeviceBuffer memory = backend.allocate(num_pages * backend.key_value_page_bytes(spec));
      const KeyValuePages store{spec, memory.data(), num_pages};
      std::vector<int32_t> table(static_cast<size_t>(num_pages));
      std::iota(table.begin(), table.end(), 0);
      const std::vector<SequenceRows> rows = {{0, length, 0, 0, length},
                                              {length, padded - length, length, 0, length}};
      const Tensor queries = device.put(all.q, {padded, 10});
      const Tensor keys = device.put(all.k, {padded, 5});
      const Tensor values = device.put(all.v, {padded, 5});
      const Tensor result = device.make({padded, 10});
      backend.store_key_values(device.stream(), {keys.view(), values.view(), rows, table, store});
      backend.attention(device.stream(),
                        {queries.view(), 2, scale_of(h), rows, table, store, result.view()});
      return device.get(result);
    });
    TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
    // Each row of padding is what the sequence's last row would be with its query.
    for (const int64_t row : {length - 1, length, padded - 1}) {
      Sequence last{length, rows_of(all.q, 0, length, 10), rows_of(all.k, 0, length, 5),
                    rows_of(all.v, 0, length, 5)};
      std::copy_n(all.q.begin() + row * 10, 10, last.q.end() - 10);
      const std::vector<float> expected = run(device, h, {last}, whole({last}));
      expect_same_bits(rows_of(expected, length - 1, length, 10), rows_of(out, row, row + 1, 10),
                       std::to_string(row));
    }
  }
}

}  // namespace
}  // namespace switchyard::testing
