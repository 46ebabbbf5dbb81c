#include <algorithm>
#include <cmath>

#include "runtime/bench/bench.h"

namespace switchyard {
namespace {

std::string name_of(const DeviceLimit& limit) {
  switch (limit.kind) {
    case LimitKind::kRead:
      return "memory read";
    case LimitKind::kCopy:
      return "memory copy";
    case LimitKind::kHostToDevice:
      return "host to device";
    case LimitKind::kDeviceToHost:
      return "device to host";
    case LimitKind::kProducts:
      return limit.arithmetic + " products";
  }
  return "";
}

/// The device's own limits, of which the slowest rank's count.
BenchLimits measure_device(BenchPlace& place, const BenchOptions& options) {
  place.control.barrier({.phase = "limits"});
  std::vector<DeviceLimit> found;
  place.control.agree(
      [&] {
        found = place.backend.measure_limits({.bytes = options.limit_bytes.value_or(0),
                                              .extent = options.limit_extent,
                                              .repeats = static_cast<int>(options.repeats)});
      },
      {.phase = "limits"});
  BenchLimits limits;
  const std::string_view arithmetic = place.backend.arithmetic_class();
  for (DeviceLimit& limit : found) {
    const double own = limit.rate;
    limit.rate = -static_cast<double>(place.control.all_max(static_cast<int64_t>(-limit.rate), {}));
    limit.seconds *= own / limit.rate;
    const bool is_memory = limit.kind == LimitKind::kRead || limit.kind == LimitKind::kCopy;
    if (is_memory) limits.read = std::max(limits.read, limit.rate);
    if (limit.kind == LimitKind::kProducts && arithmetic.ends_with(limit.arithmetic)) {
      limits.matmul = limit.rate;
    }
    place.rows.push_back({.what = name_of(limit),
                          .detail = limit.how,
                          .times = {limit.seconds, limit.seconds, limit.seconds},
                          .rate = limit.rate,
                          .unit = limit.kind == LimitKind::kProducts ? "FLOP/s" : "B/s",
                          .check = BenchCheck::kNone});
  }
  return limits;
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

/// Backend::matmul, which everything dense goes through.
BenchRow measure_matmul(BenchPlace& place, const BenchOptions& options) {
  constexpr int64_t kHostExtent = 1024;  // 0.1 s on two cores
  constexpr int64_t kDeviceExtent = 8192;
  const bool is_host = !place.backend.device_memory().has_value();
  const int64_t extent =
      options.limit_extent > 0 ? options.limit_extent : (is_host ? kHostExtent : kDeviceExtent);
  const std::vector<float> numbers = bench_numbers(extent * extent);
  // The type that the arithmetic multiplies, whose numbers it takes as they are.
  const WeightSpec spec{place.backend.key_value_type(), extent, extent};
  std::vector<char> stored(numbers.size() * static_cast<size_t>(size_of(spec.dtype)));
  convert_elements(DType::kF32, numbers.data(), spec.dtype, stored.data(),
                   static_cast<int64_t>(numbers.size()));
  const DeviceBuffer packed = place.backend.allocate(place.backend.packed_bytes(spec));
  const Weight weight{spec, packed.data()};
  place.backend.pack_weight(place.stream, stored.data(), 0, extent, weight);
  place.backend.record(place.stream).synchronize();
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
  row.rate = 2.0 * std::pow(static_cast<double>(extent), 3.0) / row.times.median;
  const std::vector<float> got = to_host(place, out.view());
  const double roundoff = unit_roundoff(place.backend.arithmetic_class());
  for (const int64_t i : {int64_t{0}, extent / 2, extent - 1}) {
    const int64_t col = extent - 1 - i / 3;
    const auto value = static_cast<double>(got[static_cast<size_t>(i * extent + col)]);
    if (!is_near(numbers, i, col, extent, value, roundoff)) row.check = BenchCheck::kWrong;
  }
  return row;
}

/// Messages of three sizes between all ranks; the largest is the limit of other exchanges.
double measure_exchanges(BenchPlace& place, const BenchOptions& options) {
  double rate = 0.0;
  const int64_t most = moved_bytes(options);
  for (const int64_t bytes : {most / 256, most / 16, most}) {
    BenchRow row = measure_even_exchange(place, bytes, options.repeats);
    rate = row.rate;
    place.rows.push_back(std::move(row));
  }
  return rate;
}

}  // namespace

BenchLimits measure_limits(BenchPlace& place, const BenchOptions& options) {
  BenchLimits limits = measure_device(place, options);
  BenchRow matmul = measure_matmul(place, options);
  matmul.limit = limits.matmul;
  if (limits.matmul == 0.0) limits.matmul = matmul.rate;
  place.rows.push_back(std::move(matmul));
  limits.all_to_all =
      place.world.size() > 1 ? measure_exchanges(place, options) : limits.read / 2.0;
  return limits;
}

}  // namespace switchyard
