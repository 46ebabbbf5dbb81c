// Scoring with fewer slots than experts, beside the disk's and the computation's own limits:
//   paging_benchmark --model DIR [--budget BYTES] [--threads N] [--length N] [--load-threads N]
// Measured in one run: what the disk gives to direct reads of the same files; a sweep of few
// tokens, which waits for the disk; the same steps with everything resident, where memory holds
// that; and a sweep with as many tokens as compute for as long as it loads.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/byte_size.h"
#include "kernels/base/log.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/base/text_table.h"
#include "runtime/bench/repeated_step.h"
#include "runtime/host_memory.h"
#include "runtime/model_runtime.h"
#include "tests/benchmarks/arguments.h"

namespace switchyard {
namespace {

struct Options {
  std::string model;
  int64_t budget = 0;  // 0: a quarter of the experts
  int64_t length = 256;
  int64_t few_tokens = 256;
  int threads = 1;
  int64_t load_threads = 2;
};

Options parse(int argc, char** argv) {
  Arguments arguments(argc, argv);
  Options options;
  arguments.take("--model", options.model);
  arguments.take("--budget", options.budget);
  arguments.take("--length", options.length);
  arguments.take("--few-tokens", options.few_tokens);
  arguments.take("--threads", options.threads);
  arguments.take("--load-threads", options.load_threads);
  arguments.finish("paging_benchmark.cc");
  if (options.model.empty()) fail_usage("--model DIR is needed; see paging_benchmark.cc");
  return options;
}

/// Bytes per second of direct reads of the checkpoint's files by so many threads, 8 MiB at a time,
/// for some seconds, into as much memory as the slots take: reads into a few MiB that stay in the
/// processor's caches are faster by a third where a host copies them into a virtual machine.
double measure_disk(const Checkpoint& checkpoint, int64_t num_threads, int64_t memory) {
  constexpr double kSeconds = 3.0;
  constexpr int64_t kPiece = int64_t{8} << 20;
  const int64_t num_places = std::max(num_threads, memory / kPiece);
  const AlignedBuffer buffer(num_places * kPiece);
  std::memset(buffer.data(), 1, static_cast<size_t>(buffer.bytes()));
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> bytes{0};
  std::vector<std::pair<size_t, int64_t>> pieces;
  for (size_t file = 0; file < checkpoint.index.files.size(); ++file) {
    for (int64_t at = 0; at + kPiece <= checkpoint.index.files[file].bytes; at += kPiece) {
      pieces.emplace_back(file, at);
    }
  }
  const double begin = steady_seconds();
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < num_threads; ++t) {
    threads.emplace_back([&] {
      std::map<size_t, std::unique_ptr<RandomFile>> files;
      while (steady_seconds() - begin < kSeconds && !pieces.empty()) {
        const int64_t number = next.fetch_add(1);
        const auto& [file, at] = pieces[static_cast<size_t>(number) % pieces.size()];
        auto& open = files[file];
        if (open == nullptr) {
          open =
              std::make_unique<RandomFile>(checkpoint.index.files[file].path, FileCaching::kDirect);
        }
        open->read_at(at, kPiece, buffer.as<char>() + number % num_places * kPiece, "a benchmark");
        bytes += kPiece;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(bytes.load()) / (steady_seconds() - begin);
}

/// What a kind of step took.
struct Sample {
  double seconds = 0.0;  // median of a step
  int64_t bytes_a_step = 0;
  double stall = 0.0;  // part of the time in which computing waited
  bool is_same = true;
  std::map<int64_t, std::vector<float>> log_probs;
};

/// A model that is loaded, and steps of it.
class Runner {
 public:
  Runner(const Options& options, const Checkpoint& checkpoint, std::optional<int64_t> budget,
         int64_t most_tokens, Backend& backend, Communicator& world, ControlChannel& control)
      : options_(options), checkpoint_(checkpoint), files_(checkpoint.index), control_(control) {
    RuntimeSettings settings;
    settings.max_batch_tokens = most_tokens;
    settings.largest_unit_rows = options.length;
    settings.exchange_buffer_bytes = int64_t{64} << 20;
    settings.tiers.expert_budget = budget;
    settings.tiers.load_threads = options.load_threads;
    model_ = std::make_unique<ModelRuntime>(checkpoint, files_, settings, backend, world, control);
    engine_ = std::make_unique<Engine>(control, model_->transformer(), model_->clock(),
                                       model_->schedule_limits());
  }

  Sample run(int64_t tokens, int repeats) {
    RepeatedStep warm({tokens, options_.length}, checkpoint_.config, 1);
    engine_->run(&warm);
    const RankStats before = model_->stats(*engine_);
    const double begin = steady_seconds();
    RepeatedStep work({tokens, options_.length}, checkpoint_.config, repeats);
    engine_->run(&work);
    const RankStats after = model_->stats(*engine_);
    const auto loading = static_cast<size_t>(Phase::kLoading);
    return {work.median_seconds(), (after.bytes_read - before.bytes_read) / repeats,
            (after.seconds[loading] - before.seconds[loading]) / (steady_seconds() - begin),
            work.same(), work.log_probs()};
  }

 private:
  const Options& options_;
  const Checkpoint& checkpoint_;
  CheckpointFiles files_;
  ControlChannel& control_;
  std::unique_ptr<ModelRuntime> model_;
  std::unique_ptr<Engine> engine_;
};

std::string percent(double part) { return concat(format_fixed(100.0 * part, 1), " %"); }

int run(const Options& options) {
  constexpr int kRepeats = 3;
  constexpr int64_t kMostTokens = 32768;
  set_log_level(LogLevel::kWarning);
  BackendOptions backend_options;
  backend_options.num_threads = options.threads;
  const std::unique_ptr<Backend> backend = make_backend(backend_options);
  const std::unique_ptr<Communicator> world = make_communicator(*backend, {});
  ControlChannel control(*backend, *world);
  const Checkpoint checkpoint = open_checkpoint(options.model, control);
  const auto placements = make_placements({}, checkpoint.config, 1);
  const std::vector<ExpertLayer> layers = expert_layers(checkpoint, placements, 0);
  const int64_t experts = resident_expert_bytes(layers, *backend);
  const int64_t budget = options.budget > 0 ? options.budget : experts / 4;
  const bool fits = experts + (int64_t{3} << 30) < free_host_memory();
  const double disk = measure_disk(checkpoint, options.load_threads, budget);
  std::printf("%s; experts %s, slots %s; direct reads of the same files: %s GB/s\n",
              backend->description().c_str(), format_byte_size(experts).c_str(),
              format_byte_size(budget).c_str(), format_fixed(disk / 1e9, 2).c_str());
  TextTable table({"step", "tokens", "seconds", "read", "GB/s", "of the disk", "compute s",
                   "disk s", "over the larger", "waits", "right"});
  const auto add = [&](const char* name, int64_t tokens, const Sample& paged,
                       const Sample* resident) {
    const auto bytes = static_cast<double>(paged.bytes_a_step);
    const double disk_seconds = bytes / disk;
    const double larger = std::max(disk_seconds, resident == nullptr ? 0.0 : resident->seconds);
    const bool is_right =
        paged.is_same && (resident == nullptr || paged.log_probs == resident->log_probs);
    table.add_row({name, std::to_string(tokens), format_fixed(paged.seconds, 3),
                   format_byte_size(paged.bytes_a_step),
                   format_fixed(bytes / paged.seconds / 1e9, 2),
                   percent(bytes / paged.seconds / disk),
                   resident == nullptr ? "-" : format_fixed(resident->seconds, 3),
                   format_fixed(disk_seconds, 3), format_fixed(paged.seconds / larger, 2),
                   percent(paged.stall), is_right ? "same bits" : "DIFFERENT BITS"});
    return is_right;
  };
  bool all_right = true;
  std::map<int64_t, Sample> resident;
  int64_t balanced = 0;
  Sample few;
  {
    Runner paged(options, checkpoint, budget, options.few_tokens, *backend, *world, control);
    few = paged.run(options.few_tokens, kRepeats);
  }
  if (fits) {
    Runner all(options, checkpoint, std::nullopt, kMostTokens, *backend, *world, control);
    resident[options.few_tokens] = all.run(options.few_tokens, kRepeats);
    const Sample many = all.run(4096, kRepeats);
    const double disk_seconds = static_cast<double>(few.bytes_a_step) / disk;
    const double tokens = 4096.0 * disk_seconds / many.seconds;
    balanced = std::clamp<int64_t>(static_cast<int64_t>(tokens) / options.length, 1,
                                   kMostTokens / options.length) *
               options.length;
    resident[balanced] = all.run(balanced, kRepeats);
  }
  all_right = add("waits for the disk", options.few_tokens, few,
                  fits ? &resident[options.few_tokens] : nullptr);
  if (fits) {
    Runner paged(options, checkpoint, budget, balanced, *backend, *world, control);
    all_right =
        add("balanced", balanced, paged.run(balanced, kRepeats), &resident[balanced]) && all_right;
  }
  std::printf("%s", table.text().c_str());
  return all_right ? 0 : 1;
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  try {
    return switchyard::run(switchyard::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "paging_benchmark: %s\n", error.what());
    return 1;
  }
}
