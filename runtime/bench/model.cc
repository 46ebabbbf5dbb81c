#include <cmath>

#include "kernels/base/error.h"
#include "kernels/base/steady_seconds.h"
#include "runtime/batch_choice.h"
#include "runtime/bench/bench.h"
#include "runtime/bench/repeated_step.h"
#include "runtime/bench/timed_work.h"
#include "runtime/cache_groups.h"
#include "runtime/generator.h"
#include "runtime/model_runtime.h"

namespace switchyard {
namespace {

/// Stored bytes of all matrices of which `rows` rows read something, each of a layer's experts as
/// likely as the others; a rank has its part of the experts and all else.
double bytes_read(const BenchModel& model, double rows, int num_ranks, const Backend& backend) {
  const ModelConfig& config = model.config();
  double bytes = 0.0;
  const double choice = config.num_moe_layers() == 0
                            ? 0.0
                            : static_cast<double>(config.router.top_k) /
                                  static_cast<double>(config.router.num_experts);
  const double used = (1.0 - std::pow(1.0 - choice, rows)) / num_ranks;
  visit_expected_tensors(config, [&](const ExpectedTensor& tensor) {
    if (!multiplies_rows(config, tensor)) return;
    const KeptForm kept =
        kept_form(config, model.checkpoint.index.at(tensor.name),
                  quantization_of(config.quantization, tensor.weight_class), tensor.name);
    const WeightSpec spec{kept.dtype, tensor.shape[0], tensor.shape[1], kept.quantization};
    bytes += static_cast<double>(backend.packed_bytes(spec)) *
             (tensor.owner == TensorOwner::kExpert ? used : 1.0);
  });
  return bytes;
}

/// The least time of a step of `rows` rows of all ranks together.
double least_seconds(const BenchPlace& place, const BenchModel& model, const BenchLimits& limits,
                     int64_t rows) {
  const int ranks = place.world.size();
  const auto count = static_cast<double>(rows);
  return limits.seconds(operations_per_token(model.config()) * count / ranks,
                        bytes_read(model, count, ranks, place.backend));
}

BenchRow tokens_row(const BenchPlace& place, const BenchModel& model, const BenchLimits& limits,
                    int64_t tokens, BenchTimes times) {
  BenchRow row{.what = "model", .detail = {}, .times = times, .unit = "tokens/s"};
  row.rate = static_cast<double>(tokens) / times.median;
  row.limit = static_cast<double>(tokens) / least_seconds(place, model, limits, tokens);
  return row;
}

RuntimeSettings base_settings(const BenchPlace& place, const BenchOptions& options) {
  RuntimeSettings settings;
  settings.max_batch_tokens = options.tokens;
  settings.exchange_buffer_bytes = options.run.exchange_buffer_bytes;
  settings.exchange = options.run.exchange;
  settings.has_graphs = records_steps(options.run.graphs, place.backend);
  settings.tiers = options.run.tiers;
  if (place.world.rank() == 0) settings.progress = &place.progress;
  return settings;
}

/// The same sequences in one step and each half of them in one: log-probs must not differ.
void measure_scoring(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                     const BenchLimits& limits) {
  const int64_t length = std::min(options.length, model.config().max_positions - 1);
  const int64_t tokens = std::max(options.tokens / length, int64_t{1}) * length;
  RuntimeSettings settings = base_settings(place, options);
  settings.max_batch_tokens = std::max(options.tokens, length);
  settings.largest_unit_rows = length;
  const double begin = steady_seconds();
  ModelRuntime runtime(model.checkpoint, *model.sources, settings, place.backend, place.world,
                       place.control);
  place.control.barrier({.phase = "loading"});
  const double load = steady_seconds() - begin;
  const int64_t read = place.control.all_max(runtime.tensor_bytes_read(), {});
  BenchRow loading{
      .what = "model", .detail = "load, of a rank", .times = {load, load, load}, .unit = "B/s"};
  loading.rate = static_cast<double>(read) / load;
  if (read > 0) place.rows.push_back(std::move(loading));
  Engine engine(place.control, runtime.transformer(), runtime.clock(), runtime.schedule_limits());
  const auto repeats = static_cast<int>(options.repeats);
  RepeatedStep whole({tokens * place.world.size(), length}, model.config(), repeats + 1);
  RepeatedStep part({std::max(tokens * place.world.size() / 2, length), length}, model.config(), 1);
  const bool is_root = place.world.rank() == 0;
  engine.run(is_root ? &whole : nullptr);
  engine.run(is_root ? &part : nullptr);
  BenchTimes times{1.0, 1.0, 1.0};
  auto check = BenchCheck::kOk;
  if (is_root) {
    times = times_of({whole.seconds().begin() + 1, whole.seconds().end()});
    for (const auto& [sequence, expected] : part.log_probs()) {
      std::vector<float> got = whole.log_probs().at(sequence);
      if (place.spoil) place.spoil(got);
      if (got != expected) check = BenchCheck::kWrong;
    }
    if (!whole.same()) check = BenchCheck::kWrong;
  }
  BenchRow row = tokens_row(place, model, limits, whole.tokens(), times);
  row.detail = concat("scoring, ", whole.tokens(), " tokens a step, sequences of ", length);
  row.check = check;
  place.rows.push_back(std::move(row));
}

/// Results of one prompt, as many as run together.
class BenchPrompt {
 public:
  BenchPrompt(const BenchOptions& options, const ModelConfig& config, int64_t batch, int num_ranks)
      : prompt_{1, RequestId(int64_t{1}), ids(options, config)} {
    options_.vocab_size = config.vocab_size;
    options_.max_length = config.max_positions;
    context_.rules.max_new_tokens = options.new_tokens;
    context_.rules.num_results = batch;
    context_.rules.eos = EosRule::kIgnored;
    context_.rules.logprobs = TokenLogprobs::kAdded;
    context_.max_length = config.max_positions;
    shape_.batch.batch_size = (batch + num_ranks - 1) / num_ranks;
    shape_.batch.prefill_chunk = std::max(options.tokens, length());
    for (const CacheGroup& group : cache_groups(config)) shape_.windows.push_back(group.window);
    shape_.num_ranks = num_ranks;
    shape_.max_batch_tokens = std::max(options.tokens, length());
  }

  int64_t length() const {
    return static_cast<int64_t>(std::get<std::vector<int32_t>>(prompt_.content).size());
  }
  PromptStream open() const { return PromptStream(prompt_, nullptr, options_); }
  RequestSummary check() const {
    PromptStream prompts = open();
    return check_prompts(prompts, context_, shape_);
  }
  const GenerationContext& context() const { return context_; }
  const GenerationShape& shape() const { return shape_; }

 private:
  static std::vector<int32_t> ids(const BenchOptions& options, const ModelConfig& config) {
    const int64_t length =
        std::max<int64_t>(1, std::min(options.length, config.max_positions - options.new_tokens));
    std::vector<int32_t> out;
    for (int64_t i = 0; i < length; ++i) {
      out.push_back(static_cast<int32_t>(4 + i * 104729 % (config.vocab_size - 4)));
    }
    return out;
  }

  Prompt prompt_;
  PromptOptions options_;
  GenerationContext context_;
  GenerationShape shape_;
};

/// What generating gave on rank 0: the results' lines and the steps' times.
struct Generated {
  std::vector<std::string> lines;
  std::vector<StepTime> steps;
};

Generated generate(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                   const BenchPrompt& prompt) {
  const RequestSummary summary = prompt.check();
  RuntimeSettings settings = base_settings(place, options);
  settings.max_batch_tokens = prompt.shape().max_batch_tokens;
  settings.largest_unit_rows = summary.largest_unit_rows;
  settings.cache_pages = summary.cache_pages;
  settings.sequence_cache_pages = summary.sequence_cache_pages;
  ModelRuntime runtime(model.checkpoint, *model.sources, settings, place.backend, place.world,
                       place.control);
  Engine engine(place.control, runtime.transformer(), runtime.clock(), runtime.schedule_limits());
  Generated generated;
  if (place.world.rank() != 0) {
    engine.run(nullptr);
    return generated;
  }
  PromptStream prompts = prompt.open();
  GeneratorOutput output;
  output.line = [&](const std::string& line) { generated.lines.push_back(line); };
  output.flush = [] {};
  Generator generator(prompts, output, place.progress,
                      {prompt.context(), prompt.shape(), runtime.schedule_limits(), summary});
  TimedWork timed(generator);
  engine.run(&timed);
  generated.steps = timed.steps();
  return generated;
}

/// Times of the steps that run one row of each of `batch` sequences, and of all before the first.
struct DecodeTimes {
  std::vector<double> steps;
  double first = 0.0;
};
DecodeTimes decode_times(const std::vector<StepTime>& steps, int64_t batch) {
  DecodeTimes times;
  for (const StepTime& step : steps) {
    const bool decodes = step.units == batch && step.rows == batch;
    if (decodes) times.steps.push_back(step.seconds);
    if (times.steps.empty()) times.first += step.seconds;
  }
  return times;
}

void measure_generating(BenchPlace& place, const BenchOptions& options, const BenchModel& model,
                        const BenchLimits& limits) {
  std::string first_result;
  for (const int64_t batch : options.batches) {
    const BenchPrompt prompt(options, model.config(), batch, place.world.size());
    const Generated generated = generate(place, options, model, prompt);
    BenchTimes times{1.0, 1.0, 1.0};
    double first = 1.0;
    auto check = BenchCheck::kOk;
    if (place.world.rank() == 0) {
      DecodeTimes measured = decode_times(generated.steps, batch);
      first = measured.first;
      if (!measured.steps.empty()) times = times_of(std::move(measured.steps));
      // Of several results each has its number, which stands before what was generated.
      const std::string& line = generated.lines.at(0);
      const std::string result = line.substr(line.find("\"generated_token_ids\""));
      if (first_result.empty()) first_result = result;
      if (result != first_result) check = BenchCheck::kWrong;
    }
    if (batch == options.batches.front()) {
      BenchRow row =
          tokens_row(place, model, limits, prompt.length() * batch, {first, first, first});
      row.detail = concat("first token, ", batch, " prompts of ", prompt.length());
      place.rows.push_back(std::move(row));
    }
    BenchRow row = tokens_row(place, model, limits, batch, times);
    row.detail = concat("decode, ", batch, " sequences, ", options.new_tokens, " tokens each");
    row.check = check;
    place.rows.push_back(std::move(row));
  }
}

}  // namespace

void measure_model(BenchPlace& place, const BenchOptions& options, BenchModel& model,
                   const BenchLimits& limits) {
  model.checkpoint.config.attention_form = AttentionForm::kExpanded;
  measure_scoring(place, options, model, limits);
  model.checkpoint.config.attention_form = AttentionForm::kAbsorbed;
  measure_generating(place, options, model, limits);
}

}  // namespace switchyard
