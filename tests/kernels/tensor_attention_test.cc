// Attention on tensor cores: what rounding to 16 bits gives, and that rows do not depend on each
// other, nor on how they are cut into calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/attention_case.h"
#include "tests/kernels/tensor_core_device.h"

namespace switchyard::testing {
namespace {

class TensorAttentionTest : public TensorCoreDeviceTest {
 protected:
  /// The most that rounding moves a number, relative to it.
  double unit() const { return GetParam() == Arithmetic::kBf16 ? 0x1p-8 : 0x1p-11; }

  /// Every `step`-th row from the last on against softmax attention in double precision of what is
  /// left of queries, keys and values after rounding. A weight is off by unit() of itself; fp32
  /// sums of scores below 16 move it by some 1e-5 more (1,024 roundings at most of 2^-24 of 16).
  /// The weights' sum takes no part in the rounding, so an output is off by that share of the
  /// weighted mean of |v|, which is below 1.
  void expect_rounded_reference(const Heads& h, const Sequence& s, const std::vector<float>& out,
                                int64_t step);

 private:
  double rounded_score(const Heads& h, const Sequence& s, int64_t row, int64_t head, int64_t key);
};

double TensorAttentionTest::rounded_score(const Heads& h, const Sequence& s, int64_t row,
                                          int64_t head, int64_t key) {
  const int64_t kv_head = head / (h.num_heads / h.num_kv_heads);
  const float* const query = s.q.data() + (row * h.num_heads + head) * h.head_dim;
  const float* const stored = s.k.data() + key * h.key_width() + kv_head * h.head_dim;
  double score = 0;
  for (int64_t i = 0; i < h.head_dim; ++i) {
    score += static_cast<double>(rounded(query[i] * h.scale())) * rounded(stored[i]);
  }
  return score;
}

void TensorAttentionTest::expect_rounded_reference(const Heads& h, const Sequence& s,
                                                   const std::vector<float>& out, int64_t step) {
  const bool is_prefix = h.values == ValueSource::kKeyPrefix;
  const std::vector<float>& all = is_prefix ? s.k : s.v;
  const int64_t dim = is_prefix ? h.head_dim : h.value_dim;
  for (int64_t row = s.length - 1; row >= 0; row -= step) {
    for (int64_t head = 0; head < h.num_heads; ++head) {
      const int64_t kv_head = head / (h.num_heads / h.num_kv_heads);
      double sum = h.sinks.empty() ? 0.0 : std::exp(h.sinks[static_cast<size_t>(head)]);
      std::vector<double> expected(static_cast<size_t>(h.value_dim));
      std::vector<double> sizes(static_cast<size_t>(h.value_dim));
      for (int64_t key = h.first_key(row); key <= row; ++key) {
        const double weight = std::exp(rounded_score(h, s, row, head, key));
        sum += weight;
        const float* const value = all.data() + (key * h.num_kv_heads + kv_head) * dim;
        for (size_t i = 0; i < expected.size(); ++i) {
          expected[i] += weight * rounded(value[i]);
          sizes[i] += weight * std::fabs(rounded(value[i]));
        }
      }
      const float* const actual = out.data() + (row * h.num_heads + head) * h.value_dim;
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(actual[i], expected[i] / sum, sizes[i] / sum * (unit() + 2e-5) + 1e-6)
            << "row " << row << " head " << head << " column " << i;
      }
    }
  }
}

std::vector<Heads> forms() {
  Heads sunk{6, 2, 24, 40, 70, {-2.0f, 0.0f, 1.0f, -20.0f, 3.0f, 0.5f}};
  return {{2, 2, 15},
          {1, 1, 1},
          {4, 2, 16, 16, 20},
          {8, 1, 64},
          {5, 1, 80, 130},
          sunk,
          {20, 1, 72, 60, 0, {}, ValueSource::kKeyPrefix}};
}

TEST_P(TensorAttentionTest, MatchesDoubleReference) {
  for (const Heads& h : forms()) {
    for (const int64_t length : {1, 63, 64, 150}) {
      const Sequence s = make_sequence(h, length, 1);
      expect_rounded_reference(h, s, run(device(), h, {s}, whole({s})), length > 70 ? 17 : 9);
    }
  }
}

// Latent attention's, and heads of which shared memory holds one page at a time.
TEST_P(TensorAttentionTest, LongHeadsMatchDoubleReference) {
  for (const Heads& h :
       {Heads{3, 1, 576, 512, 0, {}, ValueSource::kKeyPrefix}, Heads{1, 1, 500, 512}}) {
    const Sequence s = make_sequence(h, 70, 1);
    const std::vector<float> out = run(device(), h, {s}, whole({s}));
    expect_rounded_reference(h, s, out, 23);
    expect_same_bits(out, run(device(), h, {s}, cut_at({5, 64, 69}, 70)), "cut");
  }
}

TEST_P(TensorAttentionTest, JoinsSegments) {
  const Heads h{1, 1, 5};
  for (const int64_t length : {1024, 1090}) {
    const Sequence s = make_sequence(h, length, 3);
    expect_rounded_reference(h, s, run(device(), h, {s}, whole({s})), 97);
  }
}

TEST_P(TensorAttentionTest, RowByRowGivesTheSameBits) {
  for (const Heads& h : forms()) {
    const Sequence s = make_sequence(h, 80, 1);
    expect_same_bits(run(device(), h, {s}, whole({s})), run(device(), h, {s}, row_by_row(80)),
                     "row by row");
  }
}

TEST_P(TensorAttentionTest, SplitIntoCallsGivesTheSameBits) {
  const Heads plain{2, 1, 12};
  const Heads windowed{2, 2, 20, 20, 50};
  for (const Heads& h : {plain, windowed}) {
    const Sequence s = make_sequence(h, 200, 1);
    const std::vector<float> expected = run(device(), h, {s}, whole({s}));
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{5}, {63, 64, 65, 199}}) {
      expect_same_bits(expected, run(device(), h, {s}, cut_at(cuts, 200)), "cut");
    }
  }
}

// Few rows are cut by segment, each in a block of its own; many walk through their segments.
TEST_P(TensorAttentionTest, FewAndManyRowsGiveTheSameBits) {
  constexpr int64_t kRows = 270;
  constexpr int64_t kLength = 1100;
  const KeyValueSpec spec{1, 6, 6};
  Backend& backend = device().backend();
  const int64_t num_pages = pages_of(kLength);
  const DeviceBuffer memory = backend.allocate(num_pages * backend.key_value_page_bytes(spec));
  const KeyValuePages pages{spec, memory.data(), num_pages};
  std::vector<int32_t> table(static_cast<size_t>(num_pages));
  std::iota(table.begin(), table.end(), 0);
  const Tensor keys = device().put(random_floats(kLength * 6, 1, 3.0f), {kLength, 6});
  const Tensor values = device().put(random_floats(kLength * 6, 2), {kLength, 6});
  backend.store_key_values(device().stream(),
                           {keys.view(), values.view(), {{0, kLength, 0, 0}}, table, pages});
  const std::vector<float> q = random_floats(kRows * 6, 3, 3.0f);
  const auto attend = [&](int64_t first, int64_t count) {
    std::vector<SequenceRows> rows;
    for (int64_t i = 0; i < count; ++i) rows.push_back({i, 1, 1000 + (first + i) % 100, 0});
    const Tensor queries = device().put(rows_of(q, first, first + count, 6), {count, 6});
    const Tensor out = device().make({count, 6});
    backend.attention(device().stream(), {queries.view(), 1, 1.0f, rows, table, pages, out.view()});
    return device().get(out);
  };
  std::vector<float> parts = attend(0, 150);
  append(parts, attend(150, kRows - 150));
  expect_same_bits(attend(0, kRows), parts, "few rows");
}

TEST_P(TensorAttentionTest, PackedSequencesGiveTheSameBitsAsAlone) {
  const Heads h{4, 2, 15};
  std::vector<Sequence> sequences;
  std::vector<float> alone;
  uint32_t seed = 1;
  for (const int64_t length : {1, 64, 3, 130, 70, 1}) {
    sequences.push_back(make_sequence(h, length, seed++));
    append(alone, run(device(), h, {sequences.back()}, whole({sequences.back()})));
  }
  expect_same_bits(alone, run(device(), h, sequences, whole(sequences)), "packed");
}

TEST_P(TensorAttentionTest, KeysThatHoldTheValuesGiveTheBitsOfOwnValues) {
  const Heads prefix{6, 2, 150, 70, 0, {}, ValueSource::kKeyPrefix};
  Heads own = prefix;
  own.values = ValueSource::kOwn;
  Sequence s = make_sequence(own, 130, 1);
  for (int64_t row = 0; row < 2 * 130; ++row) {
    std::copy_n(s.k.begin() + row * 150, 70, s.v.begin() + row * 70);
  }
  expect_same_bits(run(device(), own, {s}, whole({s})), run(device(), prefix, {s}, whole({s})),
                   "own");
}

TEST_P(TensorAttentionTest, KeysThatARowDoesNotSeeChangeNoBit) {
  const Heads h{2, 1, 16, 16, 40};
  const auto rows_beside = [&](float value, int64_t begin, int64_t end) {
    Sequence s = make_sequence(h, 150, 1);
    std::fill(s.k.begin() + begin * 16, s.k.begin() + end * 16, value);
    std::fill(s.v.begin() + begin * 16, s.v.begin() + end * 16, value);
    const std::vector<float> out = run(device(), h, {s}, whole({s}));
    std::vector<float> kept = rows_of(out, 0, begin, h.out_width());
    append(kept, rows_of(out, std::min<int64_t>(end + 39, 150), 150, h.out_width()));
    return kept;
  };
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{30, 31}, {62, 66}, {100, 149}}) {
    const std::vector<float> expected = rows_beside(0.0f, begin, end);
    for (const float value : {60000.0f, -infinity, nan}) {
      expect_same_bits(expected, rows_beside(value, begin, end), "keys not seen");
    }
  }
}

TEST_P(TensorAttentionTest, NonFiniteInputsStayVisible) {
  const Heads h{1, 1, 16};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const int which : {0, 1, 2}) {
      Sequence s = make_sequence(h, 80, 1);
      (which == 0 ? s.q : which == 1 ? s.k : s.v)[30 * 16 + 3] = bad;
      const std::vector<float> out = run(device(), h, {s}, {{{0, 0, 80}}});
      EXPECT_TRUE(std::isfinite(out[29 * 16 + 3]));
      EXPECT_FALSE(std::isfinite(out[30 * 16 + 3])) << which;
    }
  }
}

TEST_P(TensorAttentionTest, PaddingSeesTheSequenceAndNobodySeesPadding) {
  const Heads h{2, 1, 6, 6, 70};
  for (const int64_t length : {1, 64, 130}) {
    const int64_t padded = length + 40;
    const Sequence all = make_sequence(h, padded, 11);
    Backend& backend = device().backend();
    const int64_t num_pages = pages_of(padded);
    const DeviceBuffer memory =
        backend.allocate(num_pages * backend.key_value_page_bytes(h.spec()));
    const KeyValuePages store{h.spec(), memory.data(), num_pages};
    std::vector<int32_t> table(static_cast<size_t>(num_pages));
    std::iota(table.begin(), table.end(), 0);
    const std::vector<SequenceRows> rows = {{0, length, 0, 0, length},
                                            {length, padded - length, length, 0, length}};
    const Tensor queries = device().put(all.q, {padded, 12});
    const Tensor keys = device().put(all.k, {padded, 6});
    const Tensor values = device().put(all.v, {padded, 6});
    const Tensor result = device().make({padded, 12});
    backend.store_key_values(device().stream(), {keys.view(), values.view(), rows, table, store});
    backend.attention(device().stream(),
                      {queries.view(), 2, h.scale(), rows, table, store, result.view(), h.window});
    const std::vector<float> out = device().get(result);
    for (const int64_t row : {length - 1, length, padded - 1}) {
      Sequence last{length, rows_of(all.q, 0, length, 12), rows_of(all.k, 0, length, 6),
                    rows_of(all.v, 0, length, 6)};
      std::copy_n(all.q.begin() + row * 12, 12, last.q.end() - 12);
      const std::vector<float> expected = run(device(), h, {last}, whole({last}));
      expect_same_bits(rows_of(expected, length - 1, length, 12), rows_of(out, row, row + 1, 12),
                       std::to_string(row));
    }
  }
}

TEST_P(TensorAttentionTest, PagesHoldSixteenBitNumbers) {
  const Backend& backend = device().backend();
  EXPECT_EQ(backend.key_value_type(), GetParam() == Arithmetic::kBf16 ? DType::kBF16 : DType::kF16);
  EXPECT_EQ(backend.key_value_page_bytes({2, 128, 128}), 2 * 64 * (128 + 128) * 2);
  EXPECT_EQ(backend.key_value_page_bytes({1, 15, 17}), 64 * (16 + 32) * 2);
  EXPECT_EQ(backend.key_value_page_bytes({1, 576, 512, ValueSource::kKeyPrefix}), 64 * 576 * 2);
}

TEST_P(TensorAttentionTest, RefusesHeadsThatAreTooLong) {
  const Heads wide{1, 1, 16, 513};
  const Sequence of_wide = make_sequence(wide, 1, 1);
  expect_error([&] { run(device(), wide, {of_wide}, whole({of_wide})); }, ErrorKind::kResource,
               "values of at most 512, not of 513");
}

INSTANTIATE_TEST_SUITE_P(All, TensorAttentionTest,
                         ::testing::Values(Arithmetic::kBf16, Arithmetic::kFp16),
                         [](const auto& param) {
                           return param.param == Arithmetic::kBf16 ? "bf16" : "fp16";
                         });

}  // namespace
}  // namespace switchyard::testing
