#include "runtime/generate.h"

#include <unistd.h>

#include <memory>
#include <optional>

#include "kernels/base/log.h"
#include "runtime/batch_choice.h"
#include "runtime/cache_groups.h"
#include "runtime/generator.h"
#include "runtime/model_job.h"
#include "runtime/requests/run_files.h"
#include "runtime/tokenizer/open_tokenizer.h"

namespace switchyard {
namespace {

/// What rank 0 alone holds.
struct RootState {
  PromptOptions prompts;
  std::unique_ptr<Tokenizer> tokenizer;
  GenerationContext context;
  std::optional<ResultWriter> writer;  // none where nobody wants results
};

GenerationShape generation_shape(const GenerateOptions& options, const ModelConfig& config,
                                 int num_ranks) {
  GenerationShape shape{
      options.batch, {}, num_ranks, options.run.max_batch_tokens.value_or(kDefaultBatchTokens)};
  for (const CacheGroup& group : cache_groups(config)) shape.windows.push_back(group.window);
  return shape;
}

int64_t max_length(const GenerateOptions& options, const ModelConfig& config) {
  const int64_t asked = options.rules.max_length;
  if (asked > config.max_positions) {
    fail_usage("--max-length ", asked, " is more than the model's ", config.max_positions,
               " positions");
  }
  if (asked != 0) return asked;
  // Prompts that are not read before the model is loaded get room for what it was made for.
  const bool is_known = options.prompt.has_value() || can_read_twice(options.input);
  return is_known ? config.max_positions : config.trained_positions;
}

void open_tokenizer(const GenerateOptions& options, const ModelConfig& config, RootState& root) {
  OpenedTokenizer opened =
      open_model_tokenizer(options.run.tokenizer, options.run.model, config.vocab_size);
  root.tokenizer = std::move(opened.tokenizer);
  root.prompts.tokenizer_help = opened.help;
  if (root.tokenizer != nullptr) return;
  for (const char* name : {options.rules.stops.empty() ? "" : "--stop",
                           options.stream == TextStream::kNone ? "" : "--stream"}) {
    if (*name == '\0') continue;
    fail_usage(name, " is about text, which needs a tokenizer, and there is none: ", opened.help);
  }
}

GenerationContext generation_context(const GenerateOptions& options, const ModelConfig& config,
                                     int64_t length, const Tokenizer* tokenizer) {
  GenerationContext context;
  context.rules = options.rules;
  context.eos_ids = config.eos_tokens;
  if (config.pad_token != ModelConfig::kNoToken) context.banned_ids.push_back(config.pad_token);
  context.max_length = length;
  context.tokenizer = tokenizer;
  context.stream = options.stream;
  if (config.position_kind == PositionKind::kRotary && config.rope.depends_on_length()) {
    context.rotates_alike = [rope = config.rope](int64_t a, int64_t b) {
      return rope_frequencies(rope, a) == rope_frequencies(rope, b);
    };
  }
  return context;
}

PromptStream open_prompts(const GenerateOptions& options, const RootState& root) {
  if (!options.prompt) return PromptStream(options.input, root.tokenizer.get(), root.prompts);
  return PromptStream(Prompt{1, RequestId(int64_t{1}), *options.prompt}, root.tokenizer.get(),
                      root.prompts);
}

/// What one rank can check and prepare for all.
RequestSummary prepare_root(const GenerateOptions& options, const ModelJob& job,
                            const GenerationShape& shape, RootState& root) {
  const ModelConfig& config = job.config();
  const int64_t length = max_length(options, config);
  root.prompts = {config.vocab_size,
                  length,
                  config.start_token,
                  config.pad_token,
                  options.run.tokenizer.special_tokens,
                  options.stream == TextStream::kNone ? PromptCount::kAny : PromptCount::kOne,
                  ""};
  open_tokenizer(options, config, root);
  root.context = generation_context(options, config, length, root.tokenizer.get());
  if (!options.output.empty()) {
    require_other_files(job.files_read(options.input), options.output);
    root.writer.emplace(options.output);
    write_meta(options.output, job.meta());
  }
  if (!options.prompt && !can_read_twice(options.input)) {
    return unknown_prompts(root.context, shape);
  }
  PromptStream prompts = open_prompts(options, root);
  const RequestSummary summary = check_prompts(prompts, root.context, shape);
  log_info(summary.num_requests, " prompts, at most ", summary.total_rows, " rows");
  return summary;
}

GeneratorOutput outputs(RootState& root) {
  GeneratorOutput output;
  output.line = [&root](const std::string& line) {
    if (root.writer) root.writer->append(line);
  };
  output.flush = [&root] {
    if (root.writer) root.writer->flush();
  };
  if (root.context.stream == TextStream::kNone) return output;
  output.text = [](std::string_view text) {
    FileHandle::borrow(STDOUT_FILENO).write_all(text, "standard output");
  };
  return output;
}

/// Runs all steps on rank 0.
Progress generate_all(const GenerateOptions& options, ModelJob& job, const GenerationShape& shape,
                      const RequestSummary& summary, RootState& root, ProgressSink& progress) {
  PromptStream prompts = open_prompts(options, root);
  const GeneratorOutput output = outputs(root);
  Generator generator(prompts, output, progress,
                      {root.context, shape, job.schedule_limits(), summary});
  job.run(&generator);
  if (output.text) output.text("\n");
  return generator.progress();
}

}  // namespace

void run_generate(const GenerateOptions& options, Backend& backend, Communicator& world,
                  ProgressSink& progress) {
  ModelJob job(options.run, backend, world);
  const GenerationShape shape = generation_shape(options, job.config(), world.size());
  RootState root;
  const RequestSummary summary = job.load({options.input, options.output}, 0, progress,
                                          [&] { return prepare_root(options, job, shape, root); });
  Progress done;
  if (job.is_root()) {
    done = generate_all(options, job, shape, summary, root, progress);
  } else {
    job.run(nullptr);
  }
  job.finish([&] {
    if (summary.num_requests >= 0 && summary.num_requests != done.requests_done) {
      fail_input(options.input, ": ", done.requests_done, " prompts were continued, but ",
                 summary.num_requests, " were there before; the file was changed meanwhile");
    }
    if (root.writer) root.writer->finish();
    progress.finish(done);
  });
}

}  // namespace switchyard
