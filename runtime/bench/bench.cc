#include "runtime/bench/bench.h"

#include <algorithm>
#include <iostream>

#include "kernels/base/error.h"
#include "kernels/base/mix_bits.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/base/text_table.h"
#include "runtime/run_report/json_builder.h"

namespace switchyard {
namespace {

std::string_view text_of(BenchCheck check) { return check == BenchCheck::kOk ? "ok" : "WRONG"; }

std::string json_text_of(const std::vector<BenchRow>& rows) {
  JsonBuilder json;
  json.begin_object().key("rows").begin_array();
  for (const BenchRow& row : rows) {
    json.break_line().begin_object();
    json.member("what", row.what).member("detail", row.detail);
    json.member("seconds", row.times.median).member("least_seconds", row.times.least);
    json.member("most_seconds", row.times.most).member("rate", row.rate * 1e9);
    json.member("unit", row.unit).member("reference", row.limit * 1e9);
    json.member("check", text_of(row.check)).end_object();
  }
  json.end_array().end_object();
  return json.text() + "\n";
}

std::string table_text_of(const std::vector<BenchRow>& rows) {
  TextTable table({"what", "detail", "ms", "least ms", "most ms", "rate", "unit", "reference",
                   "% of it", "check"});
  for (const BenchRow& row : rows) {
    const bool is_limit = row.limit == 0.0;
    table.add_row({row.what, row.detail, format_fixed(row.times.median * 1e3, 3),
                   format_fixed(row.times.least * 1e3, 3), format_fixed(row.times.most * 1e3, 3),
                   format_fixed(row.rate, 2), "G" + row.unit,
                   is_limit ? "-" : format_fixed(row.limit, 2),
                   is_limit ? "-" : format_fixed(100.0 * row.rate / row.limit, 1),
                   std::string(text_of(row.check))});
  }
  return table.text();
}

}  // namespace

const std::vector<std::string>& bench_names() {
  static const std::vector<std::string> names = {"limits", "experts", "all-to-all"};
  return names;
}

BenchTimes measure(BenchPlace& place, int64_t repeats, const std::function<void()>& enqueue) {
  std::vector<double> seconds;
  for (int64_t i = 0; i <= repeats; ++i) {
    place.control.barrier({.phase = "measurement"});
    const double begin = steady_seconds();
    enqueue();
    place.backend.record(place.stream).synchronize();
    if (i > 0) seconds.push_back(steady_seconds() - begin);
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
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

double unit_roundoff(std::string_view arithmetic_class) {
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

std::string bench_text(const std::vector<BenchRow>& rows, ResultForm form) {
  return form == ResultForm::kJson ? json_text_of(rows) : table_text_of(rows);
}

void run_bench(const BenchOptions& options, Backend& backend, Communicator& world) {
  ControlChannel control(backend, world);
  BenchPlace place{backend, world, control, backend.make_stream(StreamKind::kCompute)};
  const auto wants = [&](const std::string& name) {
    return std::any_of(options.names.begin(), options.names.end(),
                       [&](const std::string& given) { return given == name || given == "all"; });
  };
  std::vector<BenchRow> rows;
  const BenchLimits limits = measure_limits(place, options, rows);
  if (wants("experts")) measure_experts(place, options, limits, rows);
  if (wants("all-to-all")) measure_all_to_all(place, options, limits, rows);
  if (world.rank() == 0) std::cout << bench_text(rows, options.form) << std::flush;
  control.agree(
      [&] {
        for (const BenchRow& row : rows) {
          if (row.check == BenchCheck::kOk) continue;
          throw Error(ErrorKind::kInternal,
                      concat(row.what, " (", row.detail, "): the result that was timed is wrong"));
        }
      },
      {.phase = "checks"});
}

}  // namespace switchyard
