#include "runtime/score.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "kernels/base/log.h"
#include "parallel/control_channel.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/model_runtime.h"
#include "runtime/numerics.h"
#include "runtime/scorer.h"
#include "runtime/tokenizer/fairseq_dictionary.h"

namespace switchyard {
namespace {

/// Whether the input can be read twice: a file, neither a pipe nor standard input.
bool is_file(const std::string& input) {
  return input != "-" &&
         !(std::filesystem::exists(input) && !std::filesystem::is_regular_file(input) &&
           !std::filesystem::is_directory(input));
}

/// Refuses to write results over the requests.
void require_other_file(const std::string& input, const std::string& output) {
  namespace fs = std::filesystem;
  for (const char* suffix : {"", ".partial", ".meta.json", ".partial.meta.json"}) {
    std::error_code error;
    if (fs::is_regular_file(input, error) && fs::equivalent(input, output + suffix, error)) {
      fail_usage("--input ", input, " is a file that --output ", output,
                 " would overwrite; give another --output");
    }
  }
}

/// The model's tokenizer, or null with the reason in `options.tokenizer_help`: requests of token
/// ids need none.
std::unique_ptr<Tokenizer> open_tokenizer(const ScoreOptions& options, const ModelConfig& config,
                                          ScoreInputOptions& input) {
  namespace fs = std::filesystem;
  FairseqTokenizerFiles files;
  files.directory = options.tokenizer_dir.empty() ? options.model : options.tokenizer_dir;
  files.dictionary = options.dictionary;
  for (const std::string& directory : {files.directory, options.model}) {
    if (!files.dictionary.empty()) break;
    const fs::path path = fs::path(directory) / "dict.txt";
    if (fs::exists(path)) files.dictionary = path.string();
  }
  const bool has_pieces = fs::exists(fs::path(files.directory) / "encoder.json") &&
                          fs::exists(fs::path(files.directory) / "vocab.bpe");
  if (!files.dictionary.empty() && (has_pieces || !options.tokenizer_dir.empty())) {
    return load_fairseq_tokenizer(files, config.vocab_size, options.newlines);
  }
  if (files.dictionary.empty()) {
    input.tokenizer_help =
        concat("there is no dict.txt in ", options.model, "; name it with --dict");
    if (!options.tokenizer_dir.empty()) fail_input(input.tokenizer_help);
    return nullptr;
  }
  // Requests of ids do without the pieces, but a broken dictionary is told all the same.
  [[maybe_unused]] const FairseqDictionary checked(files.dictionary, config.vocab_size);
  input.tokenizer_help = concat("there is no encoder.json with vocab.bpe in ", files.directory,
                                "; name their folder with --tokenizer");
  return nullptr;
}

/// What rank 0 alone holds.
struct RootState {
  ScoreInputOptions input;
  std::unique_ptr<Tokenizer> tokenizer;
  RequestSummary summary;
  PlacementText placement;
  std::optional<ResultWriter> writer;
};

RuntimeSettings make_settings(const ScoreOptions& options, const RequestSummary& summary,
                              const PlacementText& placement) {
  return {options.max_batch_tokens,      summary.longest_sequence, summary.total_rows,
          options.exchange_buffer_bytes, options.top_logprobs,     placement};
}

/// What one rank can check and prepare for all; `num_ranks` of the job.
void prepare_root(const ScoreOptions& options, const Checkpoint& checkpoint,
                  const NumericsId& numerics, int num_ranks, RootState& root) {
  const ModelConfig& config = checkpoint.config;
  if (options.top_logprobs > config.vocab_size) {
    fail_usage("--top-logprobs ", options.top_logprobs, " is more than the vocabulary of ",
               config.vocab_size);
  }
  root.input.vocab_size = config.vocab_size;
  root.input.max_positions = config.max_positions;
  root.input.eos = config.eos_token;
  root.input.truncate = options.truncate;
  root.input.source = options.input == "-" ? "standard input" : options.input;
  root.tokenizer = open_tokenizer(options, config, root.input);
  root.placement = read_placement_file(options.placement);
  make_placements(root.placement, config, num_ranks);
  require_other_file(options.input, options.output);
  root.writer.emplace(options.output);
  if (!is_file(options.input)) {
    root.summary.longest_sequence = config.max_positions - 1;
  } else {
    root.summary = check_requests(options.input, root.tokenizer.get(), root.input);
    log_info(root.summary.num_requests, " requests, ", root.summary.total_rows, " tokens");
  }
  // Settings that cannot work are told before the model is loaded.
  workspace_limits(config, make_settings(options, root.summary, root.placement), num_ranks);
  write_meta(options.output,
             {options.version, numerics.text(), checkpoint.fingerprint, options.listing});
}

/// Shares rank 0's summary: it decides the size of everyone's buffers.
RequestSummary share(const RequestSummary& summary, ControlChannel& control) {
  const auto from_root = [&](int64_t value) {
    constexpr int64_t kElsewhere = std::numeric_limits<int64_t>::min();
    return control.all_max(control.rank() == 0 ? value : kElsewhere, {.phase = "requests"});
  };
  return {from_root(summary.num_requests), from_root(summary.total_rows),
          from_root(summary.longest_sequence)};
}

void log_start(const Checkpoint& checkpoint, const NumericsId& numerics, const Backend& backend,
               const Communicator& world) {
  for (const std::string& warning : checkpoint.warnings) log_warning(warning);
  const ModelConfig& config = checkpoint.config;
  log_info("model: ", config.family, ", ", config.num_layers(), " layers of width ",
           config.hidden_size, ", ", config.num_moe_layers(), " with ", config.router.num_experts,
           " experts, vocabulary ", config.vocab_size, ", ", config.max_positions, " positions");
  log_info("numerics: ", numerics.text(), "; checkpoint ", checkpoint.fingerprint);
  log_info(world.size(), " ranks over ", world.transport(), "; rank 0 on ", backend.description());
}

}  // namespace

void run_score(const ScoreOptions& options, Backend& backend, Communicator& world,
               ProgressSink& progress) {
  ControlChannel control(backend, world);
  const bool is_root = control.rank() == 0;
  const Checkpoint checkpoint = open_checkpoint(options.model, control);
  const NumericsId numerics = agree_on_numerics(options.numerics, backend, checkpoint, control);
  if (is_root) log_start(checkpoint, numerics, backend, world);

  RootState root;
  control.agree(
      [&] {
        if (is_root) prepare_root(options, checkpoint, numerics, control.size(), root);
      },
      // The others wait while rank 0 reads and tokenises the whole input.
      {.phase = "requests", .patience = Patience::kForever});
  const RequestSummary summary = share(root.summary, control);
  const std::string placement = control.broadcast(root.placement.text, 0, {.phase = "placement"});

  TensorReader reader(checkpoint.index);
  ModelRuntime model(checkpoint, reader,
                     make_settings(options, summary, {options.placement, placement}), backend,
                     world, control);
  Engine engine(control, model.transformer(), model.clock(), model.schedule_limits());
  Progress done;
  if (is_root) {
    RequestStream requests(options.input, root.tokenizer.get(), root.input);
    Scorer scorer(
        requests, *root.writer, progress,
        {model.schedule_limits(), checkpoint.config.start_token, options.top_logprobs, summary});
    engine.run(&scorer);
    done = scorer.progress();
  } else {
    engine.run(nullptr);
  }
  // Every rank must have come here before the results count as whole: where a rank died, a launcher
  // may have closed rank 0's standard input, which looks like the end of the requests.
  const std::vector<RankStats> stats = gather_stats(model.stats(engine), control);
  control.agree(
      [&] {
        if (!is_root) return;
        if (summary.num_requests >= 0 && summary.num_requests != done.requests_done) {
          fail_input(options.input, ": ", done.requests_done, " requests were scored, but ",
                     summary.num_requests, " were there before; the file was changed meanwhile");
        }
        root.writer->finish();
      },
      {.phase = "end of results"});
  if (!is_root) return;
  progress.finish(done);
  log_info("ranks\n", stats_text(stats, checkpoint.config.moe_layers()));
}

}  // namespace switchyard
