#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "runtime/bench/bench.h"
#include "runtime/bench/expert_numbers.h"
#include "runtime/expert_reader.h"

namespace switchyard {
namespace {

/// A number and how far a computed one may be from it.
struct Bounded {
  double value = 0.0, error = 0.0;
};

/// Experts of one shape whose elements are windows, one further on each, on one list of numbers.
class BenchExperts {
 public:
  BenchExperts(BenchPlace& place, const BenchModel& model, int64_t least_bytes)
      : form_(model.config().ffn_form),
        hidden_size_(model.config().hidden_size),
        ffn_size_(model.config().expert_ffn_size),
        up_{model.dtype, ffn_size_ * form_.rows_per_unit(), hidden_size_, codes_of(model)},
        down_{model.dtype, hidden_size_, ffn_size_, codes_of(model)},
        up_bytes_(place.backend.packed_bytes(up_)),
        bytes_each_(up_bytes_ + place.backend.packed_bytes(down_)),
        numbers_(model.dtype, up_.quantization, up_.rows * up_.cols,
                 (least_bytes + bytes_each_ - 1) / bytes_each_) {
    const int64_t count = (least_bytes + bytes_each_ - 1) / bytes_each_;
    memory_ = place.backend.allocate(count * bytes_each_);
    for (int64_t e = 0; e < count; ++e) {
      char* const at = static_cast<char*>(memory_.data()) + e * bytes_each_;
      experts_.push_back({{up_, at}, {}, {down_, at + up_bytes_}, {}});
      for (const Weight& weight : {experts_.back().up, experts_.back().down}) {
        place.backend.pack_weight(place.stream, numbers_.rows(weight.spec, e), 0, weight.spec.rows,
                                  weight);
        place.backend.record(place.stream).synchronize();
      }
    }
  }

  const std::vector<ExpertWeights>& table() const { return experts_; }
  const FfnForm& form() const { return form_; }
  int64_t hidden_size() const { return hidden_size_; }
  int64_t up_rows() const { return up_.rows; }
  int64_t elements() const { return up_.rows * up_.cols + down_.rows * down_.cols; }
  /// Of one expert, as it is stored.
  int64_t bytes_each() const { return bytes_each_; }
  /// Only the kernels know the elements.
  bool is_fitted() const { return up_.quantization.is_on() && !up_.quantization.is_given(); }

  /// What the CPU makes of a row with the same stored bytes.
  std::vector<float> run_on_host(BenchPlace& place, int64_t expert, const float* x) const {
    const std::unique_ptr<Backend> cpu = make_backend({.kind = BackendKind::kCpu});
    Stream stream = cpu->make_stream(StreamKind::kCompute);
    const DeviceBuffer weights = cpu->allocate(bytes_each_);
    const ExpertWeights& theirs = experts_[static_cast<size_t>(expert)];
    place.backend.copy_to_host(place.stream, {theirs.up.data, DType::kU8, {bytes_each_}},
                               weights.data());
    place.backend.record(place.stream).synchronize();
    std::vector<float> hidden(static_cast<size_t>(up_.rows));
    std::vector<float> out(static_cast<size_t>(hidden_size_));
    char* const down = static_cast<char*>(weights.data()) + cpu->packed_bytes(up_);
    cpu->grouped_ffn(stream, {.rows = {const_cast<float*>(x), DType::kF32, {1, hidden_size_}},
                              .row_offsets = {0, 1},
                              .experts = {{{up_, weights.data()}, {}, {down_, down}, {}}},
                              .form = form_,
                              .hidden = {hidden.data(), DType::kF32, {1, up_.rows}},
                              .out = {out.data(), DType::kF32, {1, hidden_size_}}});
    cpu->record(stream).synchronize();
    return out;
  }

  /// Is `got` what an expert makes of `x`, but for the roundings of its sums? Elements of fitted
  /// experts are known to the kernels alone: then `alone` [hidden_size] is what the CPU makes of
  /// the row, and the bound, of the elements before they were quantised, is doubled.
  BenchCheck check(int64_t expert, const float* x, const float* got, const float* alone,
                   double roundoff) {
    checked_ = expert;
    std::vector<Bounded> hidden;
    for (int64_t unit = 0; unit < ffn_size_; ++unit) {
      hidden.push_back(hidden_unit(x, unit, roundoff));
    }
    for (int64_t col = 0; col < hidden_size_; ++col) {
      Bounded sum;
      double size = 0.0;
      for (int64_t k = 0; k < ffn_size_; ++k) {
        const Bounded& h = hidden[static_cast<size_t>(k)];
        const double w = element(col * ffn_size_ + k);
        sum.value += w * h.value;
        sum.error += std::fabs(w) * h.error;
        size += std::fabs(w) * (std::fabs(h.value) + h.error);
      }
      sum.error += static_cast<double>(ffn_size_ + 2) * roundoff * size;
      if (alone != nullptr) sum = {static_cast<double>(alone[col]), 2.0 * sum.error};
      // Written so that NaN is wrong.
      if (!(std::fabs(static_cast<double>(got[col]) - sum.value) <= sum.error)) {
        return BenchCheck::kWrong;
      }
    }
    return BenchCheck::kOk;
  }

 private:
  /// As the first expert of the model has them.
  static GroupQuantization codes_of(const BenchModel& model) {
    return expert_shape(model.checkpoint, {0, 0}).up.quantization;
  }
  double element(int64_t i) const { return numbers_.element(checked_, i); }
  Bounded product(const float* x, int64_t row, double roundoff) const {
    Bounded sum;
    double size = 0.0;
    for (int64_t k = 0; k < hidden_size_; ++k) {
      const double term = static_cast<double>(x[k]) * element(row * hidden_size_ + k);
      sum.value += term;
      size += std::fabs(term);
    }
    sum.error = static_cast<double>(hidden_size_ + 2) * roundoff * size;
    return sum;
  }
  double activate(double x) const {
    switch (form_.activation) {
      case Activation::kRelu:
        return std::max(x, 0.0);
      case Activation::kGelu:
        return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
      case Activation::kGeluTanh:
        return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
      case Activation::kSilu:
        return x / (1.0 + std::exp(-static_cast<double>(form_.gate_scale) * x));
      case Activation::kTanh:
        return std::tanh(x);
      case Activation::kNone:
        break;
    }
    return x;
  }
  /// No activation is steeper than 1.13 (gelu's largest slope); its value is good to 8 roundings.
  Bounded activated(const Bounded& x, double roundoff) const {
    const double value = activate(x.value);
    return {value, 1.13 * x.error + 8.0 * roundoff * std::fabs(value)};
  }
  Bounded hidden_unit(const float* x, int64_t unit, double roundoff) const {
    if (form_.glu == GluLayout::kNone) return activated(product(x, unit, roundoff), roundoff);
    const bool halves = form_.glu == GluLayout::kHalves;
    Bounded gate = product(x, halves ? unit : 2 * unit, roundoff);
    Bounded linear = product(x, halves ? unit + ffn_size_ : 2 * unit + 1, roundoff);
    if (const auto limit = static_cast<double>(form_.limit); limit > 0.0) {
      gate.value = std::min(gate.value, limit);
      linear.value = std::clamp(linear.value, -limit, limit);
    }
    linear.value += static_cast<double>(form_.up_offset);
    gate = activated(gate, roundoff);
    const double value = gate.value * linear.value;
    return {value, std::fabs(gate.value) * linear.error + std::fabs(linear.value) * gate.error +
                       gate.error * linear.error + 4.0 * roundoff * std::fabs(value)};
  }

  FfnForm form_;
  int64_t hidden_size_, ffn_size_;
  WeightSpec up_, down_;
  int64_t up_bytes_, bytes_each_;
  ExpertNumbers numbers_;
  DeviceBuffer memory_;
  std::vector<ExpertWeights> experts_;
  int64_t checked_ = 0;  // the expert whose elements check() looks at
};

/// So many rows of each expert on average, and an expert that has some.
struct RowShares {
  std::vector<int64_t> offsets = {0};
  int64_t expert = 0, last_row = 0;
};
RowShares share_rows(int64_t rows, int64_t experts, double skew) {
  RowShares shares;
  for (const int64_t count : zipf_counts(rows, experts, skew)) {
    shares.offsets.push_back(shares.offsets.back() + count);
    if (count == 0) continue;
    shares.expert = static_cast<int64_t>(shares.offsets.size()) - 2;
    shares.last_row = shares.offsets.back() - 1;
  }
  return shares;
}

void measure_rows(BenchPlace& place, BenchExperts& experts, int64_t rows_each,
                  const BenchOptions& options, const BenchLimits& limits) {
  const auto count = static_cast<int64_t>(experts.table().size());
  const int64_t rows = rows_each * count;
  const int64_t width = experts.hidden_size();
  const RowShares shares = share_rows(rows, count, options.skew);
  const std::vector<float> x = bench_numbers(rows * width);
  const Tensor in = to_device(place, x.data(), DType::kF32, {rows, width});
  const Tensor hidden = place.backend.allocate_tensor(DType::kF32, {rows, experts.up_rows()});
  const Tensor out = place.backend.allocate_tensor(DType::kF32, {rows, width});
  const GroupedFfnArgs args{in.view(),      shares.offsets, experts.table(),
                            experts.form(), hidden.view(),  out.view()};
  BenchRow row{
      .what = "experts",
      .detail = concat(rows_each, options.skew > 0.0 ? " rows on average, " : " rows each, ", count,
                       " experts"),
      .times = {},
      .unit = "FLOP/s"};
  row.times =
      measure(place, options.repeats, [&] { place.backend.grouped_ffn(place.stream, args); });
  const double operations = 2.0 * static_cast<double>(rows * experts.elements());
  int64_t used = 0;
  for (int64_t e = 0; e < count; ++e) {
    const auto i = static_cast<size_t>(e);
    if (shares.offsets[i + 1] > shares.offsets[i]) ++used;
  }
  const auto bytes = static_cast<double>(used * experts.bytes_each());
  row.rate = operations / row.times.median;
  row.limit = operations / limits.seconds(operations, bytes);
  std::vector<float> got = to_host(place, out.view().rows(shares.last_row, 1));
  if (place.spoil) place.spoil(got);
  const float* const row_in = x.data() + shares.last_row * width;
  std::vector<float> alone;
  if (experts.is_fitted()) alone = experts.run_on_host(place, shares.expert, row_in);
  row.check =
      experts.check(shares.expert, row_in, got.data(), alone.empty() ? nullptr : alone.data(),
                    unit_roundoff(place.backend.arithmetic_class()));
  place.rows.push_back(std::move(row));
}

}  // namespace

void measure_experts(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                     const BenchLimits& limits) {
  place.control.agree(
      [&] {
        if (model.config().expert_ffn_size > 0) return;
        fail_usage(model.name, " has no experts; name a model that has");
      },
      {.phase = "experts"});
  BenchExperts experts(place, model, least_bytes(options, place.backend));
  for (const int64_t rows_each : options.rows) {
    measure_rows(place, experts, rows_each, options, limits);
  }
}

}  // namespace switchyard
