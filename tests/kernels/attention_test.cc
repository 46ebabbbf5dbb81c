#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/attention_case.h"

namespace switchyard::testing {
namespace {

TEST(Attention, MatchesDoubleReferenceOnAllVariants) {
  for (const Heads& h :
       {Heads{2, 2, 15}, {1, 1, 1}, {4, 2, 16}, {6, 1, 20}, {2, 2, 64}, {1, 1, 80}}) {
    for (const int64_t length : {1, 63, 64, 65, 150}) {
      const std::vector<Sequence> sequences = {make_sequence(h, length, 1)};
      const std::vector<float> out = same_on_all_variants(
          [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
      expect_reference(h, sequences[0], out, length > 70 ? 7 : 1);
    }
  }
}

TEST(Attention, JoinsSegments) {
  const Heads h{1, 1, 5};
  for (const int64_t length : {1024, 1025, 1100, 2100}) {
    const std::vector<Sequence> sequences = {make_sequence(h, length, 3)};
    const std::vector<float> out = same_on_all_variants(
        [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
    expect_reference(h, sequences[0], out, 97);
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
    expect_same_bits(expected, run(device, h, sequences, cut_at(cuts, 1200)), "cut");
  }
}

TEST(Attention, RowByRowGivesTheSameBits) {
  const Heads h{1, 1, 17};
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const std::vector<Sequence> sequences = {make_sequence(h, 140, 1)};
  expect_same_bits(run(device, h, sequences, whole(sequences)),
                   run(device, h, sequences, row_by_row(140)), "row by row");
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
      const KeyValueSpec spec = h.spec();
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
                        {queries.view(), 2, h.scale(), rows, table, store, result.view()});
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
