#include "runtime/perplexity.h"

#include <cmath>
#include <memory>
#include <numbers>
#include <optional>
#include <utility>

#include "kernels/base/exact_math.h"
#include "kernels/base/log.h"
#include "kernels/base/text_table.h"
#include "runtime/model_job.h"
#include "runtime/requests/json_text.h"
#include "runtime/requests/run_files.h"
#include "runtime/tokenizer/open_tokenizer.h"

namespace switchyard {

double TextScore::loss_base2() const {
  return -logprob / static_cast<double>(num_tokens) / std::numbers::ln2;
}

double TextScore::perplexity() const {
  return exp_double(-logprob / static_cast<double>(num_tokens));
}

double TextScore::bits_per_byte() const {
  return -logprob / std::numbers::ln2 / static_cast<double>(num_bytes);
}

std::string format_score(const TextScore& score, ResultForm form) {
  if (form == ResultForm::kTable) {
    TextTable table({"tokens", "loss (bits/token)", "perplexity", "bytes", "bits/byte"});
    table.add_row({std::to_string(score.num_tokens), format_fixed(score.loss_base2(), 5),
                   format_fixed(score.perplexity(), 4), std::to_string(score.num_bytes),
                   format_fixed(score.bits_per_byte(), 5)});
    std::string text = table.text();
    text.pop_back();
    return text;
  }
  std::string text = concat("{\"num_tokens\":", score.num_tokens, ",\"logprob\":");
  append_json_number(score.logprob, text);
  text += ",\"loss_base2\":";
  append_json_number(score.loss_base2(), text);
  text += ",\"perplexity\":";
  append_json_number(score.perplexity(), text);
  text += concat(",\"num_bytes\":", score.num_bytes, ",\"bits_per_byte\":");
  append_json_number(score.bits_per_byte(), text);
  return text + "}";
}

PerplexityWork::PerplexityWork(PassageReader& passages, const BlockRules& rules,
                               const ScheduleLimits& limits, const RequestSummary& summary,
                               ProgressSink& progress)
    : passages_(passages), units_(passages, rules), limits_(limits), progress_(progress) {
  done_.items = "blocks";
  done_.total_requests = summary.num_requests;
  done_.total_tokens = summary.total_rows;
  progress_.start();
}

StepHeader PerplexityWork::next() {
  StepHeader header;
  StepFiller filler(limits_);
  step_rows_ = 0;
  while (std::optional<BlockUnit> unit =
             held_ ? std::exchange(held_, std::nullopt) : units_.next()) {
    if (!filler.add(unit->unit)) {
      held_ = std::move(unit);
      break;
    }
    step_rows_ += UnitLoad::of(unit->unit, limits_).rows;
    lines_.insert(lines_.end(), unit->lines.begin(), unit->lines.end());
    header.units.push_back(std::move(unit->unit));
  }
  if (!header.units.empty()) header.kind = StepKind::kRun;
  return header;
}

void PerplexityWork::consume(std::vector<SequenceOutput> outputs) {
  std::vector<const SequenceOutput*> in_order(lines_.size(), nullptr);
  for (const SequenceOutput& output : outputs) {
    const auto index = static_cast<size_t>(output.sequence - first_block_);
    SWITCHYARD_CHECK(index < in_order.size() && in_order[index] == nullptr);
    in_order[index] = &output;
  }
  for (const SequenceOutput* output : in_order) {
    SWITCHYARD_CHECK(output != nullptr, "a block's result is missing");
    double sum = 0.0;
    for (const float logprob : output->logprobs) sum += static_cast<double>(logprob);
    logprob_ += sum;
    num_tokens_ += static_cast<int64_t>(output->logprobs.size());
  }
  first_block_ += static_cast<int64_t>(lines_.size());
  done_.requests_done = first_block_;
  done_.tokens_done += step_rows_;
  lines_.clear();
  progress_.update(done_);
}

std::string PerplexityWork::describe(const NonFiniteError& error) const {
  const auto index = static_cast<size_t>(error.sequence() - first_block_);
  return concat(passages_.name(), ":", lines_.at(index), ": block ", error.sequence(),
                ", which begins in this line, position ", error.position(),
                ": a log-prob is not finite; the first infinity or NaN stands in ", error.where(),
                "; check the checkpoint's weights");
}

TextScore PerplexityWork::score() const { return {num_tokens_, logprob_, passages_.num_bytes()}; }

namespace {

/// What rank 0 alone holds.
struct RootState {
  TextKind kind = TextKind::kLines;
  BlockRules rules;
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ResultWriter> writer;
};

[[noreturn]] void fail_empty(const PerplexityOptions& options) {
  fail_input(options.input, ": holds no tokens, so that there is nothing to measure");
}

std::unique_ptr<Tokenizer> open_tokenizer(const PerplexityOptions& options,
                                          const ModelConfig& config, TextKind kind) {
  TokenizerOptions tokenizer = options.run.tokenizer;
  // The ends of a text file's lines are </s> in any case; what else Unicode calls one is a
  // character of its line.
  if (kind == TextKind::kLines) tokenizer.newlines = Newlines::kKeep;
  OpenedTokenizer opened = open_model_tokenizer(tokenizer, options.run.model, config.vocab_size);
  if (!opened.tokenizer) fail_input("a text needs a tokenizer, and there is none: ", opened.help);
  return std::move(opened.tokenizer);
}

/// What one rank can check and prepare for all.
RequestSummary prepare_root(const PerplexityOptions& options, const ModelJob& job,
                            RootState& root) {
  const ModelConfig& config = job.config();
  root.kind = text_kind_of(options.input);
  // A model without experts has no capacity, so that its blocks need no padding.
  root.rules = make_block_rules(options, config, root.kind,
                                config.num_moe_layers() > 0 ? job.capacity() : std::nullopt);
  root.tokenizer = open_tokenizer(options, config, root.kind);
  require_other_files(job.files_read(options.input), options.output);
  root.writer.emplace(options.output);
  write_meta(options.output, job.meta());
  if (!can_read_twice(options.input)) return unknown_blocks(root.rules);
  PassageReader passages(options.input, root.kind, *root.tokenizer, config.eos_token(),
                         options.run.tokenizer.special_tokens);
  const RequestSummary summary = count_blocks(passages, root.rules);
  if (summary.num_requests == 0) fail_empty(options);
  log_info(summary.num_requests, " blocks, ", summary.total_rows, " rows");
  return summary;
}

}  // namespace

void run_perplexity(const PerplexityOptions& options, Backend& backend, Communicator& world,
                    ProgressSink& progress) {
  ModelJob job(options.run, backend, world);
  RootState root;
  const RequestSummary summary = job.load({options.input, options.output}, 0, progress,
                                          [&] { return prepare_root(options, job, root); });
  TextScore score;
  Progress done;
  if (job.is_root()) {
    PassageReader passages(options.input, root.kind, *root.tokenizer, job.config().eos_token(),
                           options.run.tokenizer.special_tokens);
    PerplexityWork work(passages, root.rules, job.schedule_limits(), summary, progress);
    job.run(&work);
    score = work.score();
    done = work.progress();
  } else {
    job.run(nullptr);
  }
  job.finish([&] {
    if (summary.num_requests >= 0 && summary.num_requests != done.requests_done) {
      fail_input(options.input, ": ", done.requests_done, " blocks were scored, but ",
                 summary.num_requests, " were there before; the file was changed meanwhile");
    }
    if (score.num_tokens == 0) fail_empty(options);
    if (!std::isfinite(score.perplexity())) {
      fail_input(options.input, ": the mean log-prob of a token is ",
                 score.logprob / static_cast<double>(score.num_tokens),
                 ", whose perplexity no number can hold; check the model and the text");
    }
    root.writer->append(format_score(score, options.form));
    root.writer->finish();
    progress.finish(done);
  });
}

}  // namespace switchyard
