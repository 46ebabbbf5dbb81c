// Measuring what this machine and these ranks do, each time beside a limit and with a check.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/control_channel.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/progress.h"
#include "runtime/result_form.h"
#include "runtime/run_options.h"

namespace switchyard {

/// What `bench` is asked to do.
struct BenchOptions {
  RunOptions run;                                   // run.model: a checkpoint instead of the preset
  std::vector<std::string> names;                   // of bench_names(), or "all"
  std::string preset = "moe_15b";                   // whose shapes are measured
  std::optional<int64_t> layers;                    // of the preset; none: all
  std::vector<int64_t> rows = {1, 4, 16, 64, 256};  // of each expert, on average
  /// Of weights, or of keys and values, at least, so that caches do not serve; none: 256 MiB, or
  /// twice the processors' last-level cache.
  std::optional<int64_t> weight_bytes;
  /// Of each buffer that is moved; none: 128 MiB, and of memory as much as caches do not hold.
  std::optional<int64_t> limit_bytes;
  int64_t limit_extent = 0;  // of the square matrices multiplied; 0: as the device likes
  std::vector<int64_t> contexts = {512, 2048};  // positions that attention sees
  std::vector<int64_t> batches = {1, 8, 32};    // sequences that are generated together
  int64_t length = 512;                         // of a sequence that is scored, of a prompt
  int64_t new_tokens = 16;                      // that are generated
  int64_t tokens = 4096;                        // of each rank
  double skew = 0.0;                            // Zipf's exponent; 0: all experts alike
  int64_t repeats = 5;
  std::string directory;  // where a file is written and read; empty: the system's for such
  std::string output;     // a file that gets the rows as JSON; empty: none
  ResultForm form = ResultForm::kTable;
};

/// Seconds of several runs, of the slowest rank.
struct BenchTimes {
  double median = 0.0, least = 0.0, most = 0.0;
};

/// Did the result stand its comparison?
enum class BenchCheck {
  kOk,
  kWrong,
  kNone,  ///< it is a limit, whose result nobody uses
};

/// One measurement.
struct BenchRow {
  std::string what;    // as "experts"
  std::string detail;  // as "64 rows each, 8 experts"
  BenchTimes times;
  double rate = 0.0;   // of the median run, in `unit`
  std::string unit;    // "B/s", "FLOP/s" or "tokens/s"
  double limit = 0.0;  // what this machine allows, in the same unit; 0: the row is a limit itself
  BenchCheck check = BenchCheck::kOk;
};

/// Measurements so far, and where they take place. All ranks make the same calls.
struct BenchPlace {
  Backend& backend;
  Communicator& world;
  ControlChannel& control;
  ProgressSink& progress;
  Stream stream;  // of the compute kind
  std::vector<BenchRow> rows = {};
  /// Changes a result before it is checked: for tests of the checks.
  std::function<void(std::vector<float>&)> spoil = {};
};

/// The model whose shapes are measured: a checkpoint, or a preset with weights that are computed.
struct BenchModel {
  std::string name;
  Checkpoint checkpoint;
  std::unique_ptr<TensorSources> sources;
  DType dtype = DType::kF16;  // of its matrices

  const ModelConfig& config() const { return checkpoint.config; }
};

/// What this machine allows, of each rank while all are busy.
struct BenchLimits {
  double read = 0.0;        // B/s of the device's memory
  double matmul = 0.0;      // FLOP/s in the arithmetic class of the run
  double all_to_all = 0.0;  // B/s that a rank sends in large even messages

  /// The least time of so many operations that read so many bytes.
  double seconds(double operations, double bytes) const {
    return std::max(operations / matmul, bytes / read);
  }
};

const std::vector<std::string>& bench_names();

/// Runs `enqueue` once uncounted, then `repeats` times, each until the stream has passed it.
/// Ranks begin each run together; its time is that of the slowest.
BenchTimes measure(BenchPlace& place, int64_t repeats, const std::function<void()>& enqueue);
/// The times of runs, in seconds.
BenchTimes times_of(std::vector<double> seconds);

/// A number in (-1/16, 1/16) with 7 bits, which every dtype holds exactly.
float bench_number(int64_t i);
std::vector<float> bench_numbers(int64_t count);

/// `total` shared out among so many in proportion to (i + 1) ^ -skew; what rounding leaves is the
/// first one's.
std::vector<int64_t> zipf_counts(int64_t total, int64_t count, double skew);

/// The largest relative error of one rounding in products of an arithmetic class.
double unit_roundoff(std::string_view arithmetic_class);

Tensor to_device(BenchPlace& place, const void* host, DType dtype, const Shape& shape);
std::vector<float> to_host(BenchPlace& place, const TensorView& from);

/// What is moved over links, and of a file.
inline int64_t moved_bytes(const BenchOptions& options) {
  return options.limit_bytes.value_or(int64_t{128} << 20);
}
/// What stands for BenchOptions::weight_bytes on this device.
int64_t least_bytes(const BenchOptions& options, const Backend& backend);

/// Each adds its rows to place.rows.
BenchLimits measure_limits(BenchPlace& place, const BenchOptions& options);
void measure_experts(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                     const BenchLimits& limits);
void measure_attention(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                       const BenchLimits& limits);
void measure_all_to_all(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                        const BenchLimits& limits);
void measure_model(BenchPlace& place, const BenchOptions& options, BenchModel& model,
                   const BenchLimits& limits);
/// Reading a file past the system's cache.
void measure_disk(BenchPlace& place, const BenchOptions& options);
/// The even exchange of so many bytes from each rank.
BenchRow measure_even_exchange(BenchPlace& place, int64_t bytes, int64_t repeats);

/// The rows as a table or, ResultForm::kJson, as {"rows": [...]}.
std::string bench_text(const std::vector<BenchRow>& rows, ResultForm form);

/// Measures and, on rank 0, prints the rows and writes them to options.output. Collective. Throws
/// AgreedError for a preset or checkpoint that cannot be read, and of kind kInternal, after
/// printing, where any rank's check failed. `spoil` is BenchPlace's.
void run_bench(const BenchOptions& options, Backend& backend, Communicator& world,
               ProgressSink& progress, const std::function<void(std::vector<float>&)>& spoil = {});

}  // namespace switchyard
