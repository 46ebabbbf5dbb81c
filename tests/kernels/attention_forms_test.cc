// Windows, sinks and values that are not like the keys.
#include <cmath>
#include <limits>

#include "tests/kernels/attention_case.h"

namespace switchyard::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// 6 query heads on 2 key/value heads, keys of 24 and values of 17 numbers.
Heads windowed(int64_t window, std::vector<float> sinks = {}) {
  return {6, 2, 24, 17, window, std::move(sinks)};
}

// As latent attention: every head takes the same keys, whose first numbers are the values.
Heads latent(int64_t num_heads, int64_t head_dim, int64_t value_dim) {
  return {num_heads, 1, head_dim, value_dim, 0, {}, ValueSource::kKeyPrefix};
}

TEST(AttentionForms, WindowsMatchDoubleReferenceOnAllVariants) {
  for (const int64_t window : {1, 2, 63, 64, 65, 100}) {
    for (const int64_t length : {1, 64, 65, 200}) {
      const Heads h = windowed(window);
      const std::vector<Sequence> sequences = {make_sequence(h, length, 1)};
      const std::vector<float> out = same_on_all_variants(
          [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
      expect_reference(h, sequences[0], out, length > 70 ? 5 : 1);
    }
  }
}

TEST(AttentionForms, WindowsThatCrossSegmentsMatchDoubleReference) {
  // Of the rows that share a page some see keys of an earlier segment and others do not.
  for (const int64_t window : {30, 1060}) {
    const Heads h{1, 1, 5, 3, window, {1.0f}};
    const std::vector<Sequence> sequences = {make_sequence(h, 2200, 3)};
    const std::vector<float> out = same_on_all_variants(
        [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
    expect_reference(h, sequences[0], out, 23);
  }
}

TEST(AttentionForms, WindowsGiveTheSameBitsHoweverRowsAreCut) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 2, 1});
  for (const int64_t window : {30, 65, 1030}) {
    const Heads h{5, 1, 7, 7, window, {0.5f, -1.0f, 2.0f, 0.0f, 4.0f}};
    const std::vector<Sequence> sequences = {make_sequence(h, 1300, 1)};
    const std::vector<float> expected = run(device, h, sequences, whole(sequences));
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{5},
                                             {63, 64, 65},
                                             {1, 2, 3, 130},
                                             {1023, 1024, 1025, 1053, 1054, 1055},
                                             {37, 900, 1299}}) {
      expect_same_bits(expected, run(device, h, sequences, cut_at(cuts, 1300)), "cut");
    }
  }
}

TEST(AttentionForms, RowByRowGivesTheSameBits) {
  // Single rows let many heads share a block: all 70, or 35 for each of two threads.
  for (const int num_threads : {1, 2}) {
    TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, num_threads, 1});
    for (Heads h : {windowed(70, {1, 2, 3, 4, 5, 6}), latent(70, 40, 33)}) {
      const std::vector<Sequence> sequences = {make_sequence(h, 150, 1)};
      expect_same_bits(run(device, h, sequences, whole(sequences)),
                       run(device, h, sequences, row_by_row(150)), "row by row");
    }
  }
}

TEST(AttentionForms, AWindowOfEverythingIsNoWindow) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  const std::vector<Sequence> sequences = {make_sequence(windowed(0), 1100, 1)};
  expect_same_bits(run(device, windowed(0), sequences, whole(sequences)),
                   run(device, windowed(1100), sequences, whole(sequences)), "window");
}

// What rows from 80 on give whose windows of 17 begin behind keys that hold `value`: positions
// [0, first_good).
std::vector<float> later_rows_beside(float value, int64_t first_good, int64_t length) {
  const Heads h{2, 1, 16, 16, 17};
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  Sequence s = make_sequence(h, length, 1);
  std::fill_n(s.k.begin(), first_good * 16, value);
  std::fill_n(s.v.begin(), first_good * 16, value);
  const std::vector<float> out = run(device, h, {s}, whole({s}));
  return rows_of(out, first_good + 16, length, h.out_width());
}

TEST(AttentionForms, KeysBeforeTheWindowContributeNothing) {
  for (const int64_t first_good : {70, 1024, 1040}) {
    const std::vector<float> expected = later_rows_beside(0.0f, first_good, first_good + 90);
    for (const float value : {1e38f, -kInf, kNan}) {
      expect_same_bits(expected, later_rows_beside(value, first_good, first_good + 90), "earlier");
    }
  }
}

TEST(AttentionForms, NonFiniteKeysStayVisibleInTheWindow) {
  const Heads h{1, 1, 16, 16, 20};
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  Sequence s = make_sequence(h, 100, 1);
  s.k[50 * 16 + 3] = kNan;
  const std::vector<float> out = run(device, h, {s}, whole({s}));
  for (int64_t row = 0; row < 100; ++row) {
    const bool sees = row >= 50 && row < 70;
    EXPECT_EQ(std::isnan(out[static_cast<size_t>(row * 16)]), sees) << row;
  }
}

TEST(AttentionForms, SinksMatchDoubleReferenceOnAllVariants) {
  for (const int64_t window : {0, 33}) {
    // Below, among and above the scores.
    const Heads h = windowed(window, {-20.0f, -2.0f, 0.0f, 1.5f, 6.0f, 14.0f});
    for (const int64_t length : {1, 65, 150}) {
      const std::vector<Sequence> sequences = {make_sequence(h, length, 2)};
      const std::vector<float> out = same_on_all_variants(
          [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
      expect_reference(h, sequences[0], out, length > 70 ? 41 : 1);
    }
  }
}

TEST(AttentionForms, SinksOfNothingAndOfNan) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Heads plain{3, 1, 8};
  Heads sunk = plain;
  sunk.sinks = {-kInf, kNan, 200.0f};
  const std::vector<Sequence> sequences = {make_sequence(plain, 70, 1)};
  const std::vector<float> expected = run(device, plain, sequences, whole(sequences));
  const std::vector<float> out = run(device, sunk, sequences, whole(sequences));
  for (size_t i = 0; i < out.size(); ++i) {
    switch (i / 8 % 3) {
      case 0:
        EXPECT_EQ(out[i], expected[i]);
        break;
      case 1:
        EXPECT_TRUE(std::isnan(out[i]));
        break;
      default:
        EXPECT_EQ(out[i], 0.0f);  // exp(score - 200) is far below the smallest number
        break;
    }
  }
}

TEST(AttentionForms, KeysThatHoldTheValuesMatchDoubleReference) {
  for (const Heads& h : {latent(5, 576, 512), latent(3, 24, 24), latent(130, 20, 1),
                         Heads{4, 2, 19, 16, 10, {}, ValueSource::kKeyPrefix}}) {
    for (const int64_t length : {1, 66}) {
      const std::vector<Sequence> sequences = {make_sequence(h, length, 1)};
      const std::vector<float> out = same_on_all_variants(
          [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
      expect_reference(h, sequences[0], out, length > 1 ? 13 : 1);
    }
  }
}

TEST(AttentionForms, KeysThatHoldTheValuesGiveTheBitsOfOwnValues) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 2, 1});
  const Heads prefix{6, 2, 150, 70, 0, {}, ValueSource::kKeyPrefix};
  Heads own = prefix;
  own.values = ValueSource::kOwn;
  Sequence s = make_sequence(own, 130, 1);
  for (int64_t row = 0; row < 2 * 130; ++row) {
    std::copy_n(s.k.begin() + row * 150, 70, s.v.begin() + row * 70);
  }
  expect_same_bits(run(device, own, {s}, whole({s})), run(device, prefix, {s}, whole({s})), "own");
}

// Keys as long as several passes of the score loops.
TEST(AttentionForms, LongHeadsMatchDoubleReferenceOnAllVariants) {
  for (const Heads& h : {Heads{2, 2, 192, 128}, {1, 1, 129, 65}, {3, 1, 257, 200}}) {
    const std::vector<Sequence> sequences = {make_sequence(h, 70, 1)};
    const std::vector<float> out = same_on_all_variants(
        [&](TestDevice& device) { return run(device, h, sequences, whole(sequences)); });
    expect_reference(h, sequences[0], out, 9);
  }
}

TEST(AttentionForms, PaddingSeesTheLastWindowOfTheSequence) {
  for (const int64_t length : {1, 64, 130, 1030}) {
    const Heads h{2, 1, 5, 5, 70};
    const int64_t padded = length + 70;
    const Sequence all = make_sequence(h, padded, 11);
    const std::vector<float> out = same_on_all_variants([&](TestDevice& device) {
      Backend& backend = device.backend();
      const int64_t num_pages = pages_of(padded);
      const DeviceBuffer memory =
          backend.allocate(num_pages * backend.key_value_page_bytes(h.spec()));
      const KeyValuePages store{h.spec(), memory.data(), num_pages};
      std::vector<int32_t> table(static_cast<size_t>(num_pages));
      std::iota(table.begin(), table.end(), 0);
      const std::vector<SequenceRows> rows = {{0, length, 0, 0, length},
                                              {length, padded - length, length, 0, length}};
      const Tensor queries = device.put(all.q, {padded, 10});
      const Tensor keys = device.put(all.k, {padded, 5});
      const Tensor values = device.put(all.v, {padded, 5});
      const Tensor result = device.make({padded, 10});
      backend.store_key_values(device.stream(), {keys.view(), values.view(), rows, table, store});
      backend.attention(device.stream(), {queries.view(), 2, h.scale(), rows, table, store,
                                          result.view(), h.window});
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

// A call that attends 10 rows from position 200 on, of one head with keys of 16 numbers.
void attend(std::vector<int32_t> table, const KeyValueSpec& spec, int64_t window) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const DeviceBuffer memory = device.backend().allocate(1 << 16);
  const Tensor x = device.put(random_floats(10 * 16, 1), {10, 16});
  const Tensor out = device.make({10, 16});
  device.backend().attention(device.stream(), {x.view(),
                                               1,
                                               1.0f,
                                               {{0, 10, 200, 0}},
                                               std::move(table),
                                               {spec, memory.data(), 4},
                                               out.view(),
                                               window});
}

TEST(AttentionForms, RefusesPagesMissingInTheWindow) {
  const KeyValueSpec spec{1, 16, 16};
  attend({-1, -1, -1, 1}, spec, 9);
  attend({-1, -1, 0, 1}, spec, 10);
  expect_error(
      [&] {
        attend({-1, -1, -1, 1}, spec, 10);
      },
      ErrorKind::kInternal, "attention: page_table [2] is page -1 of 4");
  expect_error(
      [&] {
        attend({-1, 0, 2, 1}, spec, 0);
      },
      ErrorKind::kInternal, "attention: page_table [0] is page -1 of 4");
  expect_error([&] { attend({0, 1, 2, 3}, spec, -1); }, ErrorKind::kInternal, "window is negative");
}

TEST(AttentionForms, RefusesKeysAndValuesThatCannotBe) {
  expect_error(
      [] {
        attend({0, 1, 2, 3}, {1, 16}, 0);
      },
      ErrorKind::kInternal, "pages are of no keys or no values");
  expect_error(
      [] {
        attend({0, 1, 2, 3}, {1, 16, 17, ValueSource::kKeyPrefix}, 0);
      },
      ErrorKind::kInternal, "values that are longer than the keys");
  expect_error(
      [] {
        attend({0, 1, 2, 3}, {1, 16, 17}, 0);
      },
      ErrorKind::kInternal, "out is fp32 [10, 16], expected fp32 [10, 17]");
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const KeyValueSpec spec{1, 16, 8, ValueSource::kKeyPrefix};
  const DeviceBuffer memory = device.backend().allocate(1 << 16);
  const Tensor x = device.put(random_floats(16, 1), {1, 16});
  const auto store = [&] {
    device.backend().store_key_values(
        device.stream(), {x.view(), x.view(), {{0, 1, 0, 0}}, {0}, {spec, memory.data(), 1}});
  };
  expect_error(store, ErrorKind::kInternal, "values are given, but keys hold them");
}

}  // namespace
}  // namespace switchyard::testing
