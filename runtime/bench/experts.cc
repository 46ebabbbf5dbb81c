#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "runtime/bench/bench.h"
#include "runtime/model_preset.h"

namespace switchyard {
namespace {

/// A number and how far a computed one may be from it.
struct Bounded {
  double value = 0.0, error = 0.0;
};

/// Experts of one shape whose elements are windows, one further on each, on one list of numbers.
class BenchExperts {
 public:
  BenchExperts(BenchPlace& place, const ModelPreset& preset, int64_t least_bytes)
      : form_(preset.config.ffn_form),
        hidden_size_(preset.config.hidden_size),
        ffn_size_(preset.config.expert_ffn_size),
        up_{preset.dtype, ffn_size_ * form_.rows_per_unit(), hidden_size_},
        down_{preset.dtype, hidden_size_, ffn_size_} {
    const int64_t up_bytes = place.backend.packed_bytes(up_);
    const int64_t expert_bytes = up_bytes + place.backend.packed_bytes(down_);
    const int64_t count = (least_bytes + expert_bytes - 1) / expert_bytes;
    numbers_ = bench_numbers(up_.rows * up_.cols + count);
    std::vector<char> stored(numbers_.size() * static_cast<size_t>(size_of(preset.dtype)));
    convert_elements(DType::kF32, numbers_.data(), preset.dtype, stored.data(),
                     static_cast<int64_t>(numbers_.size()));
    memory_ = place.backend.allocate(count * expert_bytes);
    for (int64_t e = 0; e < count; ++e) {
      char* const at = static_cast<char*>(memory_.data()) + e * expert_bytes;
      const char* const elements = stored.data() + e * size_of(preset.dtype);
      experts_.push_back({{up_, at}, {}, {down_, at + up_bytes}, {}});
      place.backend.pack_weight(place.stream, elements, 0, up_.rows, experts_.back().up);
      place.backend.pack_weight(place.stream, elements, 0, down_.rows, experts_.back().down);
    }
    place.backend.record(place.stream).synchronize();
  }

  const std::vector<ExpertWeights>& table() const { return experts_; }
  const FfnForm& form() const { return form_; }
  int64_t hidden_size() const { return hidden_size_; }
  int64_t up_rows() const { return up_.rows; }
  int64_t elements() const { return up_.rows * up_.cols + down_.rows * down_.cols; }
  int64_t bytes() const { return memory_.bytes(); }

  /// Is `got` what the last expert makes of `x`, but for the roundings of its sums?
  BenchCheck check(const float* x, const float* got, double roundoff) const {
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
      // Written so that NaN is wrong.
      if (!(std::fabs(static_cast<double>(got[col]) - sum.value) <= sum.error)) {
        return BenchCheck::kWrong;
      }
    }
    return BenchCheck::kOk;
  }

 private:
  double element(int64_t i) const {
    return static_cast<double>(numbers_[static_cast<size_t>(i) + experts_.size() - 1]);
  }
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
  std::vector<float> numbers_;
  DeviceBuffer memory_;
  std::vector<ExpertWeights> experts_;
};

BenchRow measure_rows(BenchPlace& place, const BenchExperts& experts, int64_t rows_each,
                      const BenchOptions& options) {
  const auto count = static_cast<int64_t>(experts.table().size());
  const int64_t rows = rows_each * count;
  const int64_t width = experts.hidden_size();
  const std::vector<float> x = bench_numbers(rows * width);
  const Tensor in = to_device(place, x.data(), DType::kF32, {rows, width});
  const Tensor hidden = place.backend.allocate_tensor(DType::kF32, {rows, experts.up_rows()});
  const Tensor out = place.backend.allocate_tensor(DType::kF32, {rows, width});
  GroupedFfnArgs args{in.view(), {}, experts.table(), experts.form(), hidden.view(), out.view()};
  for (int64_t e = 0; e <= count; ++e) args.row_offsets.push_back(e * rows_each);
  BenchRow row{.what = "experts",
               .detail = concat(rows_each, " rows each, ", count, " experts"),
               .times = {},
               .unit = "FLOP/s"};
  row.times =
      measure(place, options.repeats, [&] { place.backend.grouped_ffn(place.stream, args); });
  const double flops = 2.0 * static_cast<double>(rows_each * count * experts.elements());
  row.rate = flops / row.times.median / 1e9;
  const std::vector<float> got = to_host(place, out.view());
  row.check = experts.check(x.data() + (rows - 1) * width, got.data() + (rows - 1) * width,
                            unit_roundoff(place.backend.arithmetic_class()));
  return row;
}

}  // namespace

void measure_experts(BenchPlace& place, const BenchOptions& options, const BenchLimits& limits,
                     std::vector<BenchRow>& rows) {
  ModelPreset preset;
  place.control.agree(
      [&] {
        preset = load_preset(options.preset);
        if (preset.config.expert_ffn_size == 0) {
          fail_usage("--preset ", options.preset, " has no experts; name a model that has");
        }
      },
      {.phase = "preset"});
  const BenchExperts experts(place, preset, options.weight_bytes);
  for (const int64_t rows_each : options.rows) {
    BenchRow row = measure_rows(place, experts, rows_each, options);
    const double flops = row.rate * row.times.median;
    const double by_weights = flops * 1e9 * limits.copy / static_cast<double>(experts.bytes());
    row.limit = std::min(limits.matmul, by_weights);
    rows.push_back(row);
  }
}

}  // namespace switchyard
