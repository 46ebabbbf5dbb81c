#include <cstring>
#include <numeric>

#include "kernels/base/byte_size.h"
#include "runtime/bench/bench.h"

namespace switchyard {
namespace {

/// Rows for each rank where so many rows go to experts by Zipf's law.
std::vector<int64_t> rows_to_ranks(int64_t rows, int64_t experts, double skew, int ranks) {
  std::vector<int64_t> counts(static_cast<size_t>(ranks), 0);
  const std::vector<int64_t> of_experts = zipf_counts(rows, experts, skew);
  for (int64_t e = 0; e < experts; ++e) {
    counts[static_cast<size_t>(e * ranks / experts)] += of_experts[static_cast<size_t>(e)];
  }
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

/// For tests: see BenchPlace::spoil.
void spoil(BenchPlace& place, std::vector<char>& bytes) {
  if (!place.spoil || bytes.size() < sizeof(float)) return;
  std::vector<float> number(1);
  std::memcpy(number.data(), bytes.data(), sizeof(float));
  place.spoil(number);
  std::memcpy(bytes.data(), number.data(), sizeof(float));
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
  row.rate = static_cast<double>(sent * row_bytes) / row.times.median;
  row.unit = "B/s";
  std::vector<char> bytes(static_cast<size_t>(received * row_bytes));
  if (received > 0) {
    place.backend.copy_to_host(place.stream, to.view().rows(0, received), bytes.data());
    place.backend.record(place.stream).synchronize();
  }
  spoil(place, bytes);
  const auto first =
      std::accumulate(counts.begin(), counts.begin() + place.world.rank(), int64_t{0});
  row.check = check_names(bytes, row_bytes, counts[rank], first);
  return row;
}

}  // namespace

BenchRow measure_even_exchange(BenchPlace& place, int64_t bytes, int64_t repeats) {
  constexpr int64_t kRowBytes = 4096;
  const int size = place.world.size();
  BenchRow row =
      exchange(place, rows_to_ranks(bytes / kRowBytes + size, size, 0.0, size), kRowBytes, repeats);
  row.what = "even all-to-all";
  row.detail = concat(format_byte_size(bytes), " from each of ", size, " ranks");
  return row;
}

void measure_all_to_all(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                        const BenchLimits& limits) {
  const ModelConfig& config = model.config();
  const int size = place.world.size();
  const int64_t experts = std::max<int64_t>(config.router.num_experts, size);
  const int64_t rows = options.tokens * std::max<int64_t>(config.router.top_k, 1);
  BenchRow row = exchange(place, rows_to_ranks(rows, experts, options.skew, size),
                          config.hidden_size * size_of(DType::kF32), options.repeats);
  row.what = "all-to-all";
  row.detail = concat(options.tokens, " tokens a rank, skew ", options.skew, ", ", size, " ranks");
  row.limit = limits.all_to_all;
  place.rows.push_back(std::move(row));
}

}  // namespace switchyard
