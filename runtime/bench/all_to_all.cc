#include <cmath>
#include <cstring>
#include <numeric>

#include "runtime/bench/bench.h"
#include "runtime/model_preset.h"

namespace switchyard {
namespace {

/// Rows for each rank where expert e of so many is chosen in proportion to (e + 1) ^ -skew.
std::vector<int64_t> rows_to_ranks(int64_t rows, int64_t experts, double skew, int ranks) {
  std::vector<double> weights(static_cast<size_t>(ranks));
  for (int64_t e = 0; e < experts; ++e) {
    weights[static_cast<size_t>(e * ranks / experts)] +=
        std::pow(static_cast<double>(e + 1), -skew);
  }
  const double whole = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int64_t> counts;
  for (const double weight : weights) {
    counts.push_back(static_cast<int64_t>(static_cast<double>(rows) * weight / whole));
  }
  counts[0] += rows - std::accumulate(counts.begin(), counts.end(), int64_t{0});
  return counts;
}

/// Every row begins with the rank it comes from and its number there.
struct RowName {
  int32_t rank = 0, index = 0;
};

std::vector<char> named_rows(int rank, int64_t rows, int64_t row_bytes) {
  std::vector<char> bytes(static_cast<size_t>(rows * row_bytes));
  for (int64_t i = 0; i < rows; ++i) {
    const RowName name{rank, static_cast<int32_t>(i)};
    std::memcpy(bytes.data() + i * row_bytes, &name, sizeof name);
  }
  return bytes;
}

/// Every rank sends the same counts: what comes from each rank is the same range of its rows.
BenchCheck check_names(const std::vector<char>& bytes, int64_t row_bytes, int64_t per_rank,
                       int64_t first) {
  const int64_t rows = static_cast<int64_t>(bytes.size()) / row_bytes;
  for (int64_t i = 0; i < rows; ++i) {
    RowName name;
    std::memcpy(&name, bytes.data() + i * row_bytes, sizeof name);
    if (name.rank != i / per_rank || name.index != first + i % per_rank) return BenchCheck::kWrong;
  }
  return BenchCheck::kOk;
}

/// One exchange in which every rank sends `counts`; its rate is of the bytes a rank sends.
BenchRow exchange(BenchPlace& place, const std::vector<int64_t>& counts, int64_t row_bytes,
                  int64_t repeats) {
  const auto rank = static_cast<size_t>(place.world.rank());
  const int64_t sent = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  const int64_t received = counts[rank] * place.world.size();
  const std::vector<char> names = named_rows(place.world.rank(), sent, row_bytes);
  const Tensor from = to_device(place, names.data(), DType::kU8, {sent, row_bytes});
  const Tensor to =
      place.backend.allocate_tensor(DType::kU8, {std::max<int64_t>(received, 1), row_bytes});
  AllToAllArgs args{from.view().data, to.view().data, row_bytes, counts, {}};
  args.recv_rows.assign(counts.size(), counts[rank]);
  BenchRow row;
  row.times = measure(place, repeats, [&] {
    place.world.all_to_all_v(place.stream, args, {.phase = "all-to-all"});
  });
  row.rate = static_cast<double>(sent * row_bytes) / row.times.median / 1e9;
  row.unit = "B/s";
  std::vector<char> bytes(static_cast<size_t>(received * row_bytes));
  if (received > 0) {
    place.backend.copy_to_host(place.stream, to.view().rows(0, received), bytes.data());
    place.backend.record(place.stream).synchronize();
  }
  const auto first =
      std::accumulate(counts.begin(), counts.begin() + place.world.rank(), int64_t{0});
  row.check = check_names(bytes, row_bytes, counts[rank], first);
  return row;
}

}  // namespace

void measure_all_to_all(BenchPlace& place, const BenchOptions& options, const BenchLimits& limits,
                        std::vector<BenchRow>& rows) {
  ModelConfig config;
  place.control.agree([&] { config = load_preset(options.preset).config; }, {.phase = "preset"});
  const int64_t row_bytes = config.hidden_size * size_of(DType::kF32);
  const int size = place.world.size();
  double limit = limits.copy;
  if (size > 1) {
    BenchRow even =
        exchange(place, rows_to_ranks(options.limit_bytes / row_bytes + size, size, 0.0, size),
                 row_bytes, options.repeats);
    even.what = "all-to-all reference";
    even.detail = concat("even, ", size, " ranks");
    limit = even.rate;
    rows.push_back(even);
  }
  const int64_t experts = std::max<int64_t>(config.router.num_experts, size);
  BenchRow row = exchange(
      place, rows_to_ranks(options.tokens * config.router.top_k, experts, options.skew, size),
      row_bytes, options.repeats);
  row.what = "all-to-all";
  row.detail = concat(options.tokens, " tokens a rank, skew ", options.skew, ", ", size, " ranks");
  row.limit = limit;
  rows.push_back(row);
}

}  // namespace switchyard
