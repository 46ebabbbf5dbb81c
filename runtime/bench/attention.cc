#include <cmath>

#include "runtime/bench/bench.h"

namespace switchyard {
namespace {

/// Sequences of one length whose last rows attend, in as many layers as caches do not hold.
struct AttentionCase {
  int64_t sequences = 1;
  int64_t context = 0;  // positions of each
  int64_t rows = 0;     // of each, its last ones
};

/// Rows, keys and values of one layer, as the runtime has them.
class BenchAttention {
 public:
  BenchAttention(BenchPlace& place, const ModelConfig& config, const AttentionCase& shape,
                 int64_t least_bytes)
      : place_(place),
        shape_(shape),
        spec_(config.key_values()),
        num_heads_(config.num_heads),
        scale_(config.attention_scale),
        window_(config.window_of(0)),
        keys_(bench_numbers(shape.context * spec_.num_kv_heads * spec_.head_dim)),
        values_(bench_numbers(shape.context * spec_.num_kv_heads * spec_.value_dim)),
        queries_(bench_numbers(shape.rows * num_heads_ * spec_.head_dim)) {
    const int64_t pages_each = (shape.context + kKeysPerPage - 1) / kKeysPerPage;
    const int64_t num_pages = pages_each * shape.sequences;
    layer_bytes_ = num_pages * place.backend.key_value_page_bytes(spec_);
    num_layers_ = std::max<int64_t>(1, (least_bytes + layer_bytes_ - 1) / layer_bytes_);
    memory_ = place.backend.allocate(num_layers_ * layer_bytes_);
    num_pages_ = num_pages;
    for (int64_t p = 0; p < num_pages; ++p) page_table_.push_back(static_cast<int32_t>(p));
    if (config.has_sinks) sinks_ = device({num_heads_}, bench_numbers(num_heads_));
    for (int64_t layer = 0; layer < num_layers_; ++layer) {
      for (int64_t s = 0; s < shape.sequences; ++s) store(layer, s * pages_each);
    }
    rows_ = place.backend.allocate_tensor(DType::kF32, {shape.sequences * shape.rows, row_width()});
    for (int64_t s = 0; s < shape.sequences; ++s) {
      place.backend.copy_to_device(place.stream, queries_.data(),
                                   rows_.view().rows(s * shape.rows, shape.rows));
      sequences_.push_back(
          {s * shape.rows, shape.rows, shape.context - shape.rows, s * pages_each});
    }
    out_ = place.backend.allocate_tensor(
        DType::kF32, {shape.sequences * shape.rows, num_heads_ * spec_.value_dim});
    place.backend.record(place.stream).synchronize();
  }

  /// Of one layer, each time of the next.
  void enqueue() {
    AttentionArgs args;
    args.queries = rows_.view();
    args.num_heads = num_heads_;
    args.scale = scale_;
    args.sequences = sequences_;
    args.page_table = page_table_;
    args.pages = pages(next_layer_);
    next_layer_ = (next_layer_ + 1) % num_layers_;
    args.out = out_.view();
    args.window = window_;
    if (sinks_) args.sinks = sinks_->view();
    place_.backend.attention(place_.stream, args);
  }

  /// Of queries and keys, odds and values that a row sees.
  double operations() const {
    double pairs = 0.0;
    for (int64_t row = 0; row < shape_.rows; ++row) pairs += static_cast<double>(seen(row));
    return 2.0 * pairs * static_cast<double>(shape_.sequences * num_heads_) *
           static_cast<double>(spec_.head_dim + spec_.value_dim);
  }
  /// Keys and values of the positions that are seen, read once, and rows in and out.
  double bytes() const {
    const int64_t positions =
        window_ == 0 ? shape_.context : std::min(shape_.context, window_ + shape_.rows - 1);
    const int64_t width =
        spec_.num_kv_heads *
        (spec_.head_dim + (spec_.values == ValueSource::kOwn ? spec_.value_dim : 0));
    const int64_t per_sequence = positions * width * size_of(place_.backend.key_value_type()) +
                                 shape_.rows * num_heads_ * (spec_.head_dim + spec_.value_dim) * 4;
    return static_cast<double>(shape_.sequences * per_sequence);
  }

  /// Compares the first, a middle and the last row's first and last head with exact sums.
  BenchCheck check() {
    std::vector<float> got =
        to_host(place_, out_.view().rows((shape_.sequences - 1) * shape_.rows, shape_.rows));
    if (place_.spoil) place_.spoil(got);
    for (const int64_t row : {int64_t{0}, shape_.rows / 2, shape_.rows - 1}) {
      for (const int64_t head : {int64_t{0}, num_heads_ - 1}) {
        const float* const out = got.data() + (row * num_heads_ + head) * spec_.value_dim;
        if (!is_near(row, head, out)) return BenchCheck::kWrong;
      }
    }
    return BenchCheck::kOk;
  }

 private:
  KeyValuePages pages(int64_t layer) const {
    return {spec_, static_cast<char*>(memory_.data()) + layer * layer_bytes_, num_pages_};
  }
  int64_t row_width() const { return num_heads_ * spec_.head_dim; }
  int64_t seen(int64_t row) const {
    const int64_t positions = shape_.context - shape_.rows + row + 1;
    return window_ == 0 ? positions : std::min(positions, window_);
  }
  Tensor device(const Shape& shape, const std::vector<float>& numbers) {
    return to_device(place_, numbers.data(), DType::kF32, shape);
  }

  void store(int64_t layer, int64_t first_page) {
    const Tensor keys = device({shape_.context, spec_.num_kv_heads * spec_.head_dim}, keys_);
    Tensor values;
    StoreKeyValuesArgs args;
    args.keys = keys.view();
    if (spec_.values == ValueSource::kOwn) {
      values = device({shape_.context, spec_.num_kv_heads * spec_.value_dim}, values_);
      args.values = values.view();
    }
    args.sequences = {{0, shape_.context, 0, first_page}};
    args.page_table = page_table_;
    args.pages = pages(layer);
    place_.backend.store_key_values(place_.stream, args);
    place_.backend.record(place_.stream).synchronize();
  }

  double key(int64_t position, int64_t kv_head, int64_t i) const {
    return static_cast<double>(
        keys_[static_cast<size_t>((position * spec_.num_kv_heads + kv_head) * spec_.head_dim + i)]);
  }
  double value(int64_t position, int64_t kv_head, int64_t i) const {
    if (spec_.values == ValueSource::kKeyPrefix) return key(position, kv_head, i);
    return static_cast<double>(values_[static_cast<size_t>(
        (position * spec_.num_kv_heads + kv_head) * spec_.value_dim + i)]);
  }

  /// The bound: a score is off by d roundings of its terms, an odd by as much again and one
  /// rounding, and every value by its odd's part and one rounding for each position.
  bool is_near(int64_t row, int64_t head, const float* out) const {
    const double roundoff = unit_roundoff(place_.backend.arithmetic_class());
    const int64_t kv_head = head / (num_heads_ / spec_.num_kv_heads);
    const int64_t last = shape_.context - shape_.rows + row;
    const int64_t first = last + 1 - seen(row);
    const float* const query = queries_.data() + row * row_width() + head * spec_.head_dim;
    std::vector<double> scores;
    double size = 0.0;
    for (int64_t p = first; p <= last; ++p) {
      double score = 0.0, terms = 0.0;
      for (int64_t i = 0; i < spec_.head_dim; ++i) {
        const double term = static_cast<double>(query[i]) * key(p, kv_head, i);
        score += term;
        terms += std::fabs(term);
      }
      scores.push_back(score * static_cast<double>(scale_));
      size = std::max(size, terms * std::fabs(static_cast<double>(scale_)));
    }
    const double score_error = static_cast<double>(spec_.head_dim + 4) * roundoff * size;
    double maximum = *std::max_element(scores.begin(), scores.end());
    double sum = 0.0;
    if (sinks_) {
      const auto sink = static_cast<double>(bench_number(head));
      maximum = std::max(maximum, sink);
      sum += std::exp(sink - maximum);
    }
    for (double& score : scores) sum += score = std::exp(score - maximum);
    for (int64_t i = 0; i < spec_.value_dim; ++i) {
      double expected = 0.0, magnitude = 0.0;
      for (int64_t p = first; p <= last; ++p) {
        const double part = scores[static_cast<size_t>(p - first)] / sum * value(p, kv_head, i);
        expected += part;
        magnitude += std::fabs(part);
      }
      const double error =
          (2.0 * score_error + static_cast<double>(seen(row) + 8) * roundoff) * magnitude;
      // Written so that NaN is wrong.
      if (!(std::fabs(static_cast<double>(out[i]) - expected) <= error)) return false;
    }
    return true;
  }

  BenchPlace& place_;
  const AttentionCase shape_;
  const KeyValueSpec spec_;
  const int64_t num_heads_;
  const float scale_;
  const int64_t window_;
  const std::vector<float> keys_, values_, queries_;  // of each sequence the same
  DeviceBuffer memory_;                               // keys and values of the layers
  int64_t num_layers_ = 1, layer_bytes_ = 0, num_pages_ = 0, next_layer_ = 0;
  std::vector<int32_t> page_table_;
  std::optional<Tensor> sinks_;
  Tensor rows_, out_;
  std::vector<SequenceRows> sequences_;
};

void measure_case(BenchPlace& place, const BenchOptions& options, const ModelConfig& config,
                  const BenchLimits& limits, const AttentionCase& shape, std::string detail) {
  // Many rows wait for the processors, not for the memory.
  BenchAttention attention(place, config, shape,
                           shape.rows > 1 ? 0 : least_bytes(options, place.backend));
  BenchRow row{.what = "attention", .detail = std::move(detail), .times = {}, .unit = "FLOP/s"};
  row.times = measure(place, options.repeats, [&] { attention.enqueue(); });
  row.rate = attention.operations() / row.times.median;
  row.limit = attention.operations() / limits.seconds(attention.operations(), attention.bytes());
  row.check = attention.check();
  place.rows.push_back(std::move(row));
}

}  // namespace

void measure_attention(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                       const BenchLimits& limits) {
  ModelConfig prefill = model.config();
  prefill.attention_form = AttentionForm::kExpanded;
  ModelConfig decode = model.config();
  decode.attention_form = AttentionForm::kAbsorbed;
  for (const int64_t context : options.contexts) {
    measure_case(place, options, prefill, limits, {1, context, context},
                 concat("prefill of ", context, " positions"));
    for (const int64_t batch : options.batches) {
      measure_case(place, options, decode, limits, {batch, context, 1},
                   concat(batch, " rows, each after ", context - 1, " positions"));
    }
  }
}

}  // namespace switchyard
