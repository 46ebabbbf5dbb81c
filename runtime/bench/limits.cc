#include <cmath>
#include <numeric>

#include "runtime/bench/bench.h"

namespace switchyard {
namespace {

/// Rows of 4 KiB from one place of the device's memory to another.
BenchRow measure_copy(BenchPlace& place, const BenchOptions& options) {
  constexpr int64_t kWidth = 1024;
  const int64_t count = std::max<int64_t>(1, options.limit_bytes / (kWidth * 4));
  std::vector<int32_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  const std::vector<float> numbers = bench_numbers(count * kWidth);
  const Tensor from = to_device(place, numbers.data(), DType::kF32, {count, kWidth});
  const Tensor index = to_device(place, order.data(), DType::kI32, {count});
  const Tensor to = place.backend.allocate_tensor(DType::kF32, {count, kWidth});
  BenchRow row{.what = "memory copy", .detail = "read and write", .times = {}, .unit = "B/s"};
  row.times = measure(place, options.repeats, [&] {
    place.backend.gather_rows(place.stream,
                              {.x = from.view(), .index = index.view(), .out = to.view()});
  });
  row.rate = 2.0 * static_cast<double>(from.view().bytes()) / row.times.median / 1e9;
  if (to_host(place, to.view()) != numbers) row.check = BenchCheck::kWrong;
  return row;
}

/// Both ways between the device's memory and the host's, where they are not the same.
void measure_link(BenchPlace& place, const BenchOptions& options, std::vector<BenchRow>& rows) {
  const int64_t count = options.limit_bytes / 4;
  const Tensor device = place.backend.allocate_tensor(DType::kF32, {count});
  if (place.backend.host_address(device.view().data) == device.view().data) return;
  const HostBuffer host = place.backend.allocate_host(count * 4);
  auto* const numbers = static_cast<float*>(host.data());
  for (int64_t i = 0; i < count; ++i) numbers[i] = bench_number(i);
  BenchRow up{.what = "host to device", .detail = "pinned", .times = {}, .unit = "B/s"};
  up.times = measure(place, options.repeats, [&] {
    place.backend.copy_to_device(place.stream, host.data(), device.view());
  });
  BenchRow down{.what = "device to host", .detail = "pinned", .times = {}, .unit = "B/s"};
  std::fill_n(numbers, count, 0.0f);
  down.times = measure(place, options.repeats, [&] {
    place.backend.copy_to_host(place.stream, device.view(), host.data());
  });
  for (int64_t i = 0; i < count; ++i) {
    if (numbers[i] != bench_number(i)) up.check = down.check = BenchCheck::kWrong;
  }
  for (BenchRow* const row : {&up, &down}) {
    row->rate = static_cast<double>(count * 4) / row->times.median / 1e9;
    rows.push_back(*row);
  }
}

/// Is out[row, col] as near to the exact product as a sum of so many terms must be?
bool is_near(const std::vector<float>& x, int64_t row, int64_t col, int64_t extent, double got,
             double roundoff) {
  double sum = 0.0, size = 0.0;
  for (int64_t k = 0; k < extent; ++k) {
    const double term = static_cast<double>(x[static_cast<size_t>(row * extent + k)]) *
                        static_cast<double>(x[static_cast<size_t>(col * extent + k)]);
    sum += term;
    size += std::fabs(term);
  }
  return std::fabs(got - sum) <= static_cast<double>(extent + 2) * roundoff * size;
}

BenchRow measure_matmul(BenchPlace& place, const BenchOptions& options) {
  const int64_t extent = options.limit_extent;
  const std::vector<float> numbers = bench_numbers(extent * extent);
  const WeightSpec spec{DType::kF32, extent, extent};
  const DeviceBuffer packed = place.backend.allocate(place.backend.packed_bytes(spec));
  const Weight weight{spec, packed.data()};
  place.backend.pack_weight(place.stream, numbers.data(), 0, extent, weight);
  const Tensor x = to_device(place, numbers.data(), DType::kF32, {extent, extent});
  const Tensor out = place.backend.allocate_tensor(DType::kF32, {extent, extent});
  BenchRow row{
      .what = "matmul",
      .detail = std::to_string(extent) + " cubed, " + std::string(place.backend.arithmetic_class()),
      .times = {},
      .unit = "FLOP/s"};
  row.times = measure(place, options.repeats, [&] {
    place.backend.matmul(
        place.stream, {.x = x.view(), .w = weight, .bias = {}, .residual = {}, .out = out.view()});
  });
  row.rate = 2.0 * std::pow(static_cast<double>(extent), 3.0) / row.times.median / 1e9;
  const std::vector<float> got = to_host(place, out.view());
  const double roundoff = unit_roundoff(place.backend.arithmetic_class());
  for (const int64_t i : {int64_t{0}, extent / 2, extent - 1}) {
    const int64_t col = extent - 1 - i / 3;
    const auto value = static_cast<double>(got[static_cast<size_t>(i * extent + col)]);
    if (!is_near(numbers, i, col, extent, value, roundoff)) row.check = BenchCheck::kWrong;
  }
  return row;
}

}  // namespace

BenchLimits measure_limits(BenchPlace& place, const BenchOptions& options,
                           std::vector<BenchRow>& rows) {
  BenchLimits limits;
  rows.push_back(measure_copy(place, options));
  limits.copy = rows.back().rate;
  measure_link(place, options, rows);
  rows.push_back(measure_matmul(place, options));
  limits.matmul = rows.back().rate;
  return limits;
}

}  // namespace switchyard
