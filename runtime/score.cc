#include "runtime/score.h"

#include <memory>
#include <optional>

#include "kernels/base/log.h"
#include "runtime/model_job.h"
#include "runtime/requests/run_files.h"
#include "runtime/tokenizer/open_tokenizer.h"

namespace switchyard {
namespace {

/// What rank 0 alone holds.
struct RootState {
  ScoreInputOptions input;
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ResultWriter> writer;
};

ScoreInputOptions input_options(const ScoreOptions& options, const ModelConfig& config) {
  ScoreInputOptions input;
  input.vocab_size = config.vocab_size;
  // What is not read before it runs, or is cut to fit, keeps to what the model was made for.
  const bool is_bounded = options.truncate != Truncate::kError || !can_read_twice(options.input);
  input.max_positions = is_bounded ? config.trained_positions : config.max_positions;
  input.convention = config.start_token == ModelConfig::kNoToken ? TextConvention::kHuggingFace
                                                                 : TextConvention::kFairseq;
  input.eos = config.eos_token();
  input.pad = config.pad_token;
  input.truncate = options.truncate;
  input.special_tokens = options.run.tokenizer.special_tokens;
  input.source = options.input == "-" ? "standard input" : options.input;
  return input;
}

/// What one rank can check and prepare for all.
RequestSummary prepare_root(const ScoreOptions& options, const ModelJob& job, const UnitForm& form,
                            RootState& root) {
  const ModelConfig& config = job.config();
  if (options.top_logprobs > config.vocab_size) {
    fail_usage("--top-logprobs ", options.top_logprobs, " is more than the vocabulary of ",
               config.vocab_size);
  }
  root.input = input_options(options, config);
  OpenedTokenizer opened =
      open_model_tokenizer(options.run.tokenizer, options.run.model, config.vocab_size);
  root.tokenizer = std::move(opened.tokenizer);
  root.input.tokenizer_help = opened.help;
  require_other_files(job.files_read(options.input), options.output);
  root.writer.emplace(options.output);
  write_meta(options.output, job.meta());
  if (!can_read_twice(options.input)) return unknown_requests(config.trained_positions, form);
  const RequestSummary summary =
      check_requests(options.input, root.tokenizer.get(), root.input, form);
  log_info(summary.num_requests, " requests, ", summary.total_rows, " rows");
  return summary;
}

/// Runs all steps on rank 0.
Progress score_requests(const ScoreOptions& options, ModelJob& job, const UnitForm& form,
                        const RequestSummary& summary, RootState& root, ProgressSink& progress) {
  RequestStream requests(options.input, root.tokenizer.get(), root.input);
  Scorer scorer(requests, *root.writer, progress,
                {job.schedule_limits(), form, options.top_logprobs, summary});
  job.run(&scorer);
  return scorer.progress();
}

}  // namespace

void run_score(const ScoreOptions& options, Backend& backend, Communicator& world,
               ProgressSink& progress) {
  ModelJob job(options.run, backend, world);
  const UnitForm form = {job.config().start_token, job.capacity()};
  RootState root;
  const RequestSummary summary =
      job.load({options.input, options.output}, options.top_logprobs, progress,
               [&] { return prepare_root(options, job, form, root); });
  Progress done;
  if (job.is_root()) {
    done = score_requests(options, job, form, summary, root, progress);
  } else {
    job.run(nullptr);
  }
  job.finish([&] {
    if (summary.num_requests >= 0 && summary.num_requests != done.requests_done) {
      fail_input(options.input, ": ", done.requests_done, " requests were scored, but ",
                 summary.num_requests, " were there before; the file was changed meanwhile");
    }
    root.writer->finish();
    progress.finish(done);
  });
}

}  // namespace switchyard
