// Scoring throughput and memory of whole models, on one rank or under mpirun:
//   model_benchmark                        moe_15b's shape, 2 layers, 512 experts, random weights
//   model_benchmark --model DIR            a checkpoint
//   [--layers N] [--experts N] [--tokens N] [--length N] [--threads N]
#include <sys/resource.h>

#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "kernels/base/byte_size.h"
#include "kernels/base/log.h"
#include "kernels/base/text_table.h"
#include "runtime/batch_choice.h"
#include "runtime/model_runtime.h"
#include "tests/benchmarks/arguments.h"
#include "tests/benchmarks/machine_limits.h"
#include "tests/benchmarks/repeated_step.h"
#include "tests/benchmarks/synthetic_model.h"

namespace switchyard {
namespace {

struct Options {
  std::string model;
  int layers = 2;
  int64_t experts = 512;
  int64_t tokens = 8192;
  int64_t length = 512;
  int threads = 1;
};

Options parse(int argc, char** argv) {
  Arguments arguments(argc, argv);
  Options options;
  arguments.take("--model", options.model);
  arguments.take("--layers", options.layers);
  arguments.take("--experts", options.experts);
  arguments.take("--tokens", options.tokens);
  arguments.take("--length", options.length);
  arguments.take("--threads", options.threads);
  arguments.finish("model_benchmark.cc");
  return options;
}

double peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024.0;
}

int run(const Options& options) {
  constexpr int kRepeats = 5;
  BackendOptions backend_options;
  backend_options.num_threads = options.threads;
  const std::unique_ptr<Backend> backend = make_backend(backend_options);
  const std::unique_ptr<Communicator> world = make_communicator(*backend, {});
  ControlChannel control(*backend, *world);
  const bool is_synthetic = options.model.empty();
  const Checkpoint checkpoint =
      is_synthetic ? synthetic_checkpoint(moe_15b_config(options.layers, options.experts))
                   : open_checkpoint(options.model, control);
  std::unique_ptr<TensorSources> sources;
  if (is_synthetic) {
    sources = std::make_unique<SyntheticSources>(checkpoint.config);
  } else {
    sources = std::make_unique<CheckpointFiles>(checkpoint.index);
  }
  const ModelConfig& config = checkpoint.config;
  RuntimeSettings settings;
  settings.max_batch_tokens = options.tokens;
  settings.largest_unit_rows = std::min(options.length, config.max_positions - 1);
  settings.exchange_buffer_bytes = int64_t{64} << 20;
  ModelRuntime model(checkpoint, *sources, settings, *backend, *world, control);
  Engine engine(control, model.transformer(), model.clock(), model.schedule_limits());
  RepeatedStep work({options.tokens, options.length}, config, kRepeats);
  engine.run(world->rank() == 0 ? &work : nullptr);
  const std::vector<RankStats> stats = gather_stats(model.stats(engine), control);
  const int64_t peak = control.all_max(static_cast<int64_t>(peak_resident_bytes()), {});
  if (world->rank() != 0) return 0;
  ThreadPool pool(options.threads);
  const double fma_peak =
      measure_fma_peak(best_instruction_set(), pool) * static_cast<double>(world->size());
  const double rate = static_cast<double>(work.tokens()) / work.median_seconds();
  const double speed = rate * operations_per_token(config);
  std::printf("%s\n%s\n", backend->description().c_str(),
              stats_text(stats, config.moe_layers()).c_str());
  TextTable table({"model", "ranks", "threads", "tokens a step", "tokens/s", "GFLOP/s",
                   "of fma peak", "peak memory", "right"});
  table.add_row({is_synthetic ? concat("moe_15b shape, ", options.layers, " layers, ",
                                       options.experts, " experts")
                              : options.model,
                 std::to_string(world->size()), std::to_string(options.threads),
                 std::to_string(work.tokens()), format_fixed(rate, 0), format_fixed(speed / 1e9, 1),
                 format_fixed(100.0 * speed / fma_peak, 0) + " %", format_byte_size(peak),
                 work.same() ? "same bits" : "DIFFERENT BITS"});
  std::printf("%s", table.text().c_str());
  return work.same() ? 0 : 1;
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  try {
    return switchyard::run(switchyard::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "model_benchmark: %s\n", error.what());
    return 1;
  }
}
