// Rows of decode steps whose tables the device holds, and operations that are recorded.
#include <algorithm>
#include <functional>

#include "tests/kernels/attention_case.h"
#include "tests/kernels/tensor_core_device.h"

namespace switchyard::testing {
namespace {

/// The next row of several sequences, given in both ways: `step` says how many rows before the
/// last of each.
class DecodeStep {
 public:
  DecodeStep(TestDevice& device, const Heads& h, const std::vector<Sequence>& sequences)
      : device_(device),
        h_(h),
        sequences_(sequences),
        count_(static_cast<int64_t>(sequences.size())),
        host_pages_(make_pages(sequences, PageOrder::kShuffled)),
        num_pages_(static_cast<int64_t>(host_pages_.table.size())),
        memory_(device.backend().allocate(num_pages_ *
                                          device.backend().key_value_page_bytes(h.spec()))),
        queries_(device.make({count_, h.query_width()})),
        keys_(device.make({count_, h.key_width()})),
        values_(device.make({count_, h.value_width()})),
        out_(device.make({count_, h.out_width()})),
        positions_(device.make(DType::kI32, {count_})) {
    for (const Sequence& s : sequences) width_ = std::max(width_, pages_of(s.length) + 1);
    table_ = device.make(DType::kI32, {count_, width_});
    if (!h.sinks.empty()) sinks_ = device.put(h.sinks, {h.num_heads});
    store_all();
  }

  /// Puts row `back` from the end of every sequence where the operations find it.
  void put(int64_t back) {
    std::vector<float> q, k, v;
    std::vector<int32_t> positions;
    std::vector<int32_t> table(static_cast<size_t>(count_ * width_), -1);
    rows_.clear();
    for (size_t i = 0; i < sequences_.size(); ++i) {
      const Sequence& s = sequences_[i];
      const int64_t position = s.length - 1 - back;
      append(q, rows_of(s.q, position, position + 1, h_.query_width()));
      append(k, rows_of(s.k, position, position + 1, h_.key_width()));
      append(v, rows_of(s.v, position, position + 1, h_.value_width()));
      positions.push_back(static_cast<int32_t>(position));
      const int64_t first = host_pages_.first_entry[i];
      rows_.push_back({static_cast<int64_t>(i), 1, position, first});
      std::copy_n(host_pages_.table.begin() + first, pages_of(position + 1),
                  table.begin() + static_cast<int64_t>(i) * width_);
    }
    copy(q, queries_);
    copy(k, keys_);
    copy(v, values_);
    copy(positions, positions_);
    copy(table, table_);
  }

  /// With tables on the host, or on the device.
  void enqueue(bool on_device) {
    StoreKeyValuesArgs stored = {keys_.view(), values_.view(), {}, {}, pages()};
    if (h_.values == ValueSource::kKeyPrefix) stored.values = {};
    AttentionArgs args;
    args.queries = queries_.view();
    args.num_heads = h_.num_heads;
    args.scale = h_.scale();
    args.pages = pages();
    args.out = out_.view();
    args.window = h_.window;
    args.sinks = sinks_.view();
    if (on_device) {
      stored.decode_rows = args.decode_rows = {positions_.view(), table_.view()};
    } else {
      stored.sequences = args.sequences = rows_;
      stored.page_table = args.page_table = host_pages_.table;
    }
    device_.backend().store_key_values(device_.stream(), stored);
    device_.backend().attention(device_.stream(), args);
  }

  std::vector<float> out() { return device_.get(out_); }

 private:
  template <typename T>
  void copy(const std::vector<T>& values, const Tensor& to) {
    device_.backend().copy_to_device(device_.stream(), values.data(), to.view());
    device_.finish();
  }
  KeyValuePages pages() const { return {h_.spec(), memory_.data(), num_pages_}; }
  /// All keys and values but the last rows'.
  void store_all() {
    for (size_t i = 0; i < sequences_.size(); ++i) {
      const Sequence& s = sequences_[i];
      const Tensor keys = device_.put(s.k, {s.length, h_.key_width()});
      const Tensor values = device_.put(s.v, {s.length, h_.value_width()});
      const bool is_prefix = h_.values == ValueSource::kKeyPrefix;
      device_.backend().store_key_values(device_.stream(),
                                         {keys.view(),
                                          is_prefix ? TensorView{} : values.view(),
                                          {{0, s.length, 0, host_pages_.first_entry[i]}},
                                          host_pages_.table,
                                          pages()});
      device_.finish();
    }
  }

  TestDevice& device_;
  const Heads& h_;
  const std::vector<Sequence>& sequences_;
  const int64_t count_;
  const Pages host_pages_;
  const int64_t num_pages_;
  const DeviceBuffer memory_;
  const Tensor queries_, keys_, values_, out_, positions_;
  Tensor table_, sinks_;
  int64_t width_ = 0;
  std::vector<SequenceRows> rows_;
};

const std::vector<Heads>& forms() {
  static const std::vector<Heads> all = {
      {4, 2, 16},
      {.num_heads = 6, .num_kv_heads = 1, .head_dim = 20, .value_dim = 8, .window = 70},
      {.num_heads = 2, .num_kv_heads = 2, .head_dim = 32, .value_dim = 32, .sinks = {0.5f, -1.0f}},
      {.num_heads = 24,
       .num_kv_heads = 1,
       .head_dim = 40,
       .value_dim = 24,
       .values = ValueSource::kKeyPrefix}};
  return all;
}

/// Lengths beside each other in pages and in segments.
std::vector<Sequence> some_sequences(const Heads& h) {
  std::vector<Sequence> sequences;
  uint32_t seed = 1;
  for (const int64_t length : {3, 66, 64, 1500, 200}) {
    sequences.push_back(make_sequence(h, length, seed++));
  }
  return sequences;
}

/// Rows by device tables, at once and recorded, give what rows by host tables give.
void expect_the_same(TestDevice& device) {
  Backend& backend = device.backend();
  for (const Heads& h : forms()) {
    const std::vector<Sequence> sequences = some_sequences(h);
    DecodeStep step(device, h, sequences);
    std::vector<std::vector<float>> expected;
    for (const int64_t back : {2, 1, 0}) {
      step.put(back);
      step.enqueue(false);
      expected.push_back(step.out());
      step.enqueue(true);
      expect_same_bits(expected.back(), step.out(), backend.description() + ", on the device");
    }
    backend.begin_recording(device.stream());
    step.enqueue(true);
    const Graph graph = backend.end_recording(device.stream());
    for (int64_t back = 2; back >= 0; --back) {
      step.put(back);
      ASSERT_TRUE(backend.is_current(device.stream(), graph));
      backend.launch(device.stream(), graph);
      expect_same_bits(expected[static_cast<size_t>(2 - back)], step.out(),
                       backend.description() + ", recorded");
    }
  }
}

TEST(DecodeRows, GiveTheBitsOfSequences) {
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    expect_the_same(device);
  }
}

class TensorDecodeRowsTest : public TensorCoreDeviceTest {};

TEST_P(TensorDecodeRowsTest, GiveTheBitsOfSequences) { expect_the_same(device()); }

INSTANTIATE_TEST_SUITE_P(Arithmetics, TensorDecodeRowsTest,
                         ::testing::Values(Arithmetic::kBf16, Arithmetic::kFp16),
                         [](const auto& suite) {
                           return suite.param == Arithmetic::kBf16 ? "bf16" : "fp16";
                         });

/// Experts on rows that the device counts, whose job tables a graph keeps.
class CountedExperts {
 public:
  explicit CountedExperts(TestDevice& device) : device_(device) {
    memory_.resize(2 * kExperts);
    for (size_t e = 0; e < kExperts; ++e) {
      const auto seed = static_cast<uint32_t>(e);
      weights_.push_back({device.put_weight(random_floats(kUnits * kWidth, seed + 3),
                                            {DType::kBF16, kUnits, kWidth}, memory_[2 * e]),
                          {},
                          device.put_weight(random_floats(kUnits * kWidth, seed + 9),
                                            {DType::kBF16, kWidth, kUnits}, memory_[2 * e + 1]),
                          {}});
    }
    rows_ = device.put(random_floats(kMostRows * kWidth, 5), {kMostRows, kWidth});
    hidden_ = device.make({kMostRows, kUnits});
    out_ = device.make({kMostRows, kWidth});
    offsets_ = device.put(std::vector<int32_t>(kExperts + 1, 0), {kExperts + 1});
  }

  void put(const std::vector<int32_t>& offsets) {
    device_.backend().copy_to_device(device_.stream(), offsets.data(), offsets_.view());
    const std::vector<float> zeros(static_cast<size_t>(kMostRows * kWidth), 0.0f);
    device_.backend().copy_to_device(device_.stream(), zeros.data(), out_.view());
    device_.finish();
  }
  void enqueue() {
    GroupedFfnArgs args;
    args.rows = rows_.view();
    args.experts = weights_;
    args.form = {.activation = Activation::kRelu};
    args.hidden = hidden_.view();
    args.out = out_.view();
    args.device_offsets = offsets_.view();
    device_.backend().grouped_ffn(device_.stream(), args);
  }
  std::vector<float> out() { return device_.get(out_); }

 private:
  static constexpr size_t kExperts = 3;
  static constexpr int64_t kWidth = 40, kUnits = 64, kMostRows = 30;

  TestDevice& device_;
  std::vector<DeviceBuffer> memory_;
  std::vector<ExpertWeights> weights_;
  Tensor rows_, hidden_, out_, offsets_;
};

TEST(Graphs, RunOnWhatMemoryHoldsThen) {
  const std::vector<std::vector<int32_t>> all_offsets = {
      {0, 3, 3, 20}, {0, 0, 0, 0}, {0, 10, 20, 30}};
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    CountedExperts experts(device);
    std::vector<std::vector<float>> expected;
    for (const auto& offsets : all_offsets) {
      experts.put(offsets);
      experts.enqueue();
      expected.push_back(experts.out());
    }
    experts.put(all_offsets[1]);
    device.backend().begin_recording(device.stream());
    experts.enqueue();
    const Graph graph = device.backend().end_recording(device.stream());
    EXPECT_EQ(experts.out(), expected[1]) << "nothing runs while it is recorded";
    for (int round = 0; round < 2; ++round) {
      for (size_t i = 0; i < all_offsets.size(); ++i) {
        experts.put(all_offsets[i]);
        device.backend().launch(device.stream(), graph);
        expect_same_bits(expected[i], experts.out(), device.backend().description());
      }
    }
  }
}

TEST(Graphs, TakeOperationsOnly) {
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    Backend& backend = device.backend();
    backend.begin_recording(device.stream());
    expect_error([&] { backend.record(device.stream()); }, ErrorKind::kInternal, "records");
    expect_error([&] { backend.run_on_host(device.stream(), [] {}); }, ErrorKind::kInternal,
                 "records");
    const Graph graph = backend.end_recording(device.stream());
    backend.launch(device.stream(), graph);
    device.finish();
  }
}

}  // namespace
}  // namespace switchyard::testing
