#include "runtime/bench/bench.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/base/mix_bits.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/base/text_table.h"
#include "kernels/cpu/machine_limits.h"
#include "runtime/bench/synthetic_model.h"
#include "runtime/checkpoint/staged_file.h"
#include "runtime/model_preset.h"
#include "runtime/numerics.h"
#include "runtime/run_report/json_builder.h"

namespace switchyard {
namespace {

/// Above this part of its limit a row says that one of the two was measured badly.
constexpr double kMostOfLimit = 1.05;

std::string check_text(const BenchRow& row) {
  if (row.check == BenchCheck::kWrong) return "WRONG";
  if (row.check == BenchCheck::kNone) return "-";
  return row.limit > 0.0 && row.rate > kMostOfLimit * row.limit ? "ok, above its limit" : "ok";
}

std::string json_text_of(const std::vector<BenchRow>& rows) {
  JsonBuilder json;
  json.begin_object().key("rows").begin_array();
  for (const BenchRow& row : rows) {
    json.break_line().begin_object();
    json.member("what", row.what).member("detail", row.detail);
    json.member("seconds", row.times.median).member("least_seconds", row.times.least);
    json.member("most_seconds", row.times.most).member("rate", row.rate);
    json.member("unit", row.unit).member("limit", row.limit);
    json.member("check", check_text(row)).end_object();
  }
  json.end_array().end_object();
  return json.text() + "\n";
}

/// Rates of tokens are told in ones, others in 1e9.
struct Scale {
  double divisor;
  std::string unit;
  int digits;
};
Scale scale_of(const BenchRow& row) {
  if (row.unit == "tokens/s") return {1.0, row.unit, 1};
  return {1e9, "G" + row.unit, 2};
}

std::string table_text_of(const std::vector<BenchRow>& rows) {
  TextTable table(
      {"what", "detail", "ms", "least ms", "most ms", "rate", "unit", "limit", "% of it", "check"});
  for (const BenchRow& row : rows) {
    const bool is_limit = row.limit == 0.0;
    const Scale scale = scale_of(row);
    table.add_row({row.what, row.detail, format_fixed(row.times.median * 1e3, 3),
                   format_fixed(row.times.least * 1e3, 3), format_fixed(row.times.most * 1e3, 3),
                   format_fixed(row.rate / scale.divisor, scale.digits), scale.unit,
                   is_limit ? "-" : format_fixed(row.limit / scale.divisor, scale.digits),
                   is_limit ? "-" : format_fixed(100.0 * row.rate / row.limit, 1),
                   check_text(row)});
  }
  return table.text();
}

/// The checkpoint that is named, or the preset. Collective; throws AgreedError.
BenchModel open_bench_model(const BenchOptions& options, ControlChannel& control) {
  BenchModel model;
  if (!options.run.model.empty()) {
    model.name = options.run.model;
    model.checkpoint = open_checkpoint(options.run.model, control);
    model.sources = std::make_unique<CheckpointFiles>(model.checkpoint.index);
    model.dtype = model.config().weight_dtype.value_or(DType::kBF16);
  } else {
    control.agree(
        [&] {
          const ModelPreset preset = load_preset(options.preset, {.layers = options.layers});
          model.name = preset.name;
          model.dtype = preset.dtype;
          model.checkpoint = synthetic_checkpoint(preset);
        },
        {.phase = "preset"});
    model.sources = std::make_unique<SyntheticSources>(model.config());
  }
  control.agree(
      [&] { quantize_as_asked(options.run.quantization, model.name, model.checkpoint.config); },
      {.phase = "check of the options"});
  return model;
}

}  // namespace

const std::vector<std::string>& bench_names() {
  static const std::vector<std::string> names = {"limits", "experts", "attention", "all-to-all",
                                                 "model"};
  return names;
}

BenchTimes times_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

BenchTimes measure(BenchPlace& place, int64_t repeats, const std::function<void()>& enqueue) {
  std::vector<double> seconds;
  for (int64_t i = 0; i <= repeats; ++i) {
    place.control.barrier({.phase = "measurement"});
    const double begin = steady_seconds();
    enqueue();
    place.backend.record(place.stream).synchronize();
    const auto nanoseconds = static_cast<int64_t>((steady_seconds() - begin) * 1e9);
    const int64_t slowest = place.control.all_max(nanoseconds, {.phase = "measurement"});
    if (i > 0) seconds.push_back(static_cast<double>(std::max<int64_t>(slowest, 1)) / 1e9);
  }
  return times_of(std::move(seconds));
}

float bench_number(int64_t i) {
  const auto bits = static_cast<int>(mix_bits(static_cast<uint64_t>(i)) % 127);
  return static_cast<float>(bits - 63) / 1024.0f;
}

std::vector<float> bench_numbers(int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) out[static_cast<size_t>(i)] = bench_number(i);
  return out;
}

std::vector<int64_t> zipf_counts(int64_t total, int64_t count, double skew) {
  std::vector<double> weights;
  for (int64_t i = 0; i < count; ++i)
    weights.push_back(std::pow(static_cast<double>(i + 1), -skew));
  const double whole = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int64_t> counts;
  for (const double weight : weights) {
    counts.push_back(static_cast<int64_t>(static_cast<double>(total) * weight / whole));
  }
  counts[0] += total - std::accumulate(counts.begin(), counts.end(), int64_t{0});
  return counts;
}

double unit_roundoff(std::string_view arithmetic_class) {
  constexpr std::string_view kFast = "-fast";
  if (arithmetic_class.ends_with(kFast)) arithmetic_class.remove_suffix(kFast.size());
  if (arithmetic_class.ends_with("bf16")) return 0x1p-8;
  if (arithmetic_class.ends_with("fp16")) return 0x1p-11;
  return 0x1p-24;
}

Tensor to_device(BenchPlace& place, const void* host, DType dtype, const Shape& shape) {
  Tensor tensor = place.backend.allocate_tensor(dtype, shape);
  place.backend.copy_to_device(place.stream, host, tensor.view());
  place.backend.record(place.stream).synchronize();
  return tensor;
}

std::vector<float> to_host(BenchPlace& place, const TensorView& from) {
  std::vector<float> out(static_cast<size_t>(from.shape.num_elements()));
  place.backend.copy_to_host(place.stream, from, out.data());
  place.backend.record(place.stream).synchronize();
  return out;
}

int64_t least_bytes(const BenchOptions& options, const Backend& backend) {
  constexpr int64_t kUsual = int64_t{256} << 20;
  if (options.weight_bytes) return *options.weight_bytes;
  return backend.device_memory() ? kUsual : std::max(kUsual, 2 * last_level_cache_bytes());
}

std::string bench_text(const std::vector<BenchRow>& rows, ResultForm form) {
  return form == ResultForm::kJson ? json_text_of(rows) : table_text_of(rows);
}

void run_bench(const BenchOptions& options, Backend& backend, Communicator& world,
               ProgressSink& progress, const std::function<void(std::vector<float>&)>& spoil) {
  ControlChannel control(backend, world);
  BenchModel model = open_bench_model(options, control);
  agree_on_numerics(options.run.numerics, backend, model.checkpoint, control);
  if (world.rank() == 0) log_info("measuring ", model.name, " on ", backend.description());
  BenchPlace place{backend, world, control, progress, backend.make_stream(StreamKind::kCompute),
                   {},      spoil};
  const auto wants = [&](const std::string& name) {
    return std::any_of(options.names.begin(), options.names.end(),
                       [&](const std::string& given) { return given == name || given == "all"; });
  };
  const BenchLimits limits = measure_limits(place, options);
  if (wants("limits")) measure_disk(place, options);
  if (wants("experts")) measure_experts(place, options, model, limits);
  if (wants("attention")) measure_attention(place, options, model, limits);
  if (wants("all-to-all")) measure_all_to_all(place, options, model, limits);
  if (wants("model")) measure_model(place, options, model, limits);
  control.agree(
      [&] {
        if (world.rank() == 0) {
          std::cout << bench_text(place.rows, options.form) << std::flush;
          if (!options.output.empty()) {
            StagedFile file(options.output);
            file.write_at(0, bench_text(place.rows, ResultForm::kJson));
            file.close();
            file.publish();
          }
        }
        for (const BenchRow& row : place.rows) {
          if (row.check != BenchCheck::kWrong) continue;
          throw Error(ErrorKind::kInternal,
                      concat(row.what, " (", row.detail, "): the result that was timed is wrong"));
        }
      },
      {.phase = "checks"});
}

}  // namespace switchyard
