// Measuring what this machine and these ranks do, each time beside a limit and with a check.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/control_channel.h"
#include "runtime/result_form.h"
#include "runtime/run_options.h"

namespace switchyard {

/// What `bench` is asked to do.
struct BenchOptions {
  RunOptions run;
  std::vector<std::string> names;                   // of bench_names(), or "all"
  std::string preset = "moe_15b";                   // whose shapes are measured
  std::vector<int64_t> rows = {1, 4, 16, 64, 256};  // of each expert
  int64_t weight_bytes = int64_t{256} << 20;        // at least, so that caches do not serve
  int64_t limit_bytes = int64_t{128} << 20;         // of each buffer that is copied
  int64_t limit_extent = 1024;                      // of the square matrices multiplied
  int64_t tokens = 4096;                            // of each rank
  double skew = 0.0;                                // Zipf's exponent; 0: all experts alike
  int64_t repeats = 5;
  ResultForm form = ResultForm::kTable;
};

/// Seconds of several runs.
struct BenchTimes {
  double median = 0.0, least = 0.0, most = 0.0;
};

/// Did the result stand its comparison?
enum class BenchCheck { kOk, kWrong };

/// One measurement.
struct BenchRow {
  std::string what;    // as "experts"
  std::string detail;  // as "64 rows each, 8 experts"
  BenchTimes times;
  double rate = 0.0;   // of the median run, in 1e9 `unit`
  std::string unit;    // "B/s" or "FLOP/s"
  double limit = 0.0;  // measured reference in the same unit; 0: this row is one itself
  BenchCheck check = BenchCheck::kOk;
};

/// Where measurements take place. All ranks make the same calls.
struct BenchPlace {
  Backend& backend;
  Communicator& world;
  ControlChannel& control;
  Stream stream;  // of the compute kind
};

/// What other measurements are held against: what plain operations of the backend reach, which
/// well-tuned work can exceed; in 1e9 a second, of this rank while all are busy.
struct BenchLimits {
  double copy = 0.0;    // bytes read plus bytes written
  double matmul = 0.0;  // floating-point operations
};

const std::vector<std::string>& bench_names();

/// Runs `enqueue` once uncounted, then `repeats` times, each until the stream has passed it.
/// Ranks begin each run together.
BenchTimes measure(BenchPlace& place, int64_t repeats, const std::function<void()>& enqueue);

/// A number in (-1/16, 1/16) with 7 bits, which every dtype holds exactly.
float bench_number(int64_t i);
std::vector<float> bench_numbers(int64_t count);

/// The largest relative error of one rounding in products of an arithmetic class.
double unit_roundoff(std::string_view arithmetic_class);

Tensor to_device(BenchPlace& place, const void* host, DType dtype, const Shape& shape);
std::vector<float> to_host(BenchPlace& place, const TensorView& from);

BenchLimits measure_limits(BenchPlace& place, const BenchOptions& options,
                           std::vector<BenchRow>& rows);
void measure_experts(BenchPlace& place, const BenchOptions& options, const BenchLimits& limits,
                     std::vector<BenchRow>& rows);
void measure_all_to_all(BenchPlace& place, const BenchOptions& options, const BenchLimits& limits,
                        std::vector<BenchRow>& rows);

/// The rows as a table or, ResultForm::kJson, as {"rows": [...]}.
std::string bench_text(const std::vector<BenchRow>& rows, ResultForm form);

/// Measures and, on rank 0, prints rank 0's rows. Collective. Throws AgreedError for a preset that
/// cannot be read, and of kind kInternal where any rank's check failed.
void run_bench(const BenchOptions& options, Backend& backend, Communicator& world);

}  // namespace switchyard
