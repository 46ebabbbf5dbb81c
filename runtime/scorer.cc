#include "runtime/scorer.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// Requests without anything to run that a step may carry along, so that a long run of empty texts
/// is written before memory fills up.
constexpr size_t kMaxPending = 65536;

StepSequence make_step_sequence(const ScoreSequence& sequence, int64_t number,
                                int32_t start_token) {
  StepSequence step;
  step.sequence = number;
  step.input_ids.push_back(start_token);
  step.input_ids.insert(step.input_ids.end(), sequence.token_ids.begin(),
                        sequence.token_ids.end() - 1);
  step.target_ids.assign(sequence.token_ids.end() - sequence.num_scored, sequence.token_ids.end());
  return step;
}

/// Rows that a sequence runs: one a token, the start token in place of the last.
int64_t num_rows(const ScoreSequence& sequence) {
  return sequence.num_scored == 0 ? 0 : static_cast<int64_t>(sequence.token_ids.size());
}

}  // namespace

RequestStream::RequestStream(const std::string& path, const Tokenizer* tokenizer,
                             const ScoreInputOptions& options)
    : reader_(path), ids_(path, reader_.name()), tokenizer_(tokenizer), options_(options) {}

std::optional<RequestStream::Item> RequestStream::next() {
  const std::optional<std::string_view> line = reader_.next();
  if (!line) return std::nullopt;
  Item item{parse_request(*line, reader_.line_number(), reader_.name()), {}};
  ids_.add(item.request);
  item.sequence = prepare_score_input(item.request, tokenizer_, options_);
  return item;
}

RequestSummary check_requests(const std::string& path, const Tokenizer* tokenizer,
                              const ScoreInputOptions& options) {
  RequestStream stream(path, tokenizer, options);
  RequestSummary summary{0, 0, 0};
  while (const std::optional<RequestStream::Item> item = stream.next()) {
    ++summary.num_requests;
    summary.total_rows += num_rows(item->sequence);
    summary.longest_sequence = std::max(summary.longest_sequence, num_rows(item->sequence));
  }
  return summary;
}

Scorer::Scorer(RequestStream& requests, ResultWriter& writer, ProgressSink& progress,
               const ScorerSettings& settings)
    : requests_(requests), writer_(writer), progress_(progress), settings_(settings) {
  done_.total_requests = settings.summary.num_requests;
  done_.total_tokens = settings.summary.total_rows;
  progress_.start();
}

std::optional<Scorer::Pending> Scorer::take() {
  if (held_) {
    std::optional<Pending> pending = std::move(held_);
    held_.reset();
    return pending;
  }
  std::optional<RequestStream::Item> item = requests_.next();
  if (!item) return std::nullopt;
  return Pending{std::move(item->request), std::move(item->sequence), {}};
}

StepHeader Scorer::next() {
  StepHeader header;
  header.top_logprobs = settings_.top_logprobs;
  StepFiller filler(settings_.limits);
  while (std::optional<Pending> pending = take()) {
    const int64_t rows = num_rows(pending->sequence);
    if (rows > 0 && !filler.add(rows)) {
      held_ = std::move(pending);
      break;
    }
    if (rows > 0) {
      const int64_t number = first_sequence_ + static_cast<int64_t>(pending_.size());
      header.sequences.push_back(
          make_step_sequence(pending->sequence, number, settings_.start_token));
    }
    pending_.push_back(std::move(*pending));
    if (pending_.size() == kMaxPending) {
      if (!header.sequences.empty()) break;
      write_all();
    }
  }
  if (header.sequences.empty()) {
    write_all();
    return header;
  }
  header.kind = StepKind::kRun;
  return header;
}

void Scorer::consume(std::vector<SequenceOutput> outputs) {
  for (SequenceOutput& output : outputs) {
    const size_t index = static_cast<size_t>(output.sequence - first_sequence_);
    SWITCHYARD_CHECK(index < pending_.size() && !pending_[index].output);
    pending_[index].output = std::move(output);
  }
  write_all();
}

void Scorer::write_all() {
  for (const Pending& pending : pending_) write(pending);
  first_sequence_ += static_cast<int64_t>(pending_.size());
  pending_.clear();
  writer_.flush();
  progress_.update(done_);
}

void Scorer::write(const Pending& pending) {
  const ScoreSequence& sequence = pending.sequence;
  ScoreResult result;
  result.id = pending.request.id;
  result.token_ids.assign(sequence.token_ids.end() - sequence.num_scored, sequence.token_ids.end());
  const size_t num_scored = result.token_ids.size();
  const SequenceOutput output = pending.output.value_or(SequenceOutput{});
  SWITCHYARD_CHECK(output.logprobs.size() == num_scored, "a result is missing");
  result.token_logprobs = output.logprobs;
  if (sequence.is_pair) result.is_greedy = output.greedy == result.token_ids;
  if (settings_.top_logprobs > 0) {
    auto& top = result.top_logprobs.emplace(num_scored);
    for (size_t i = 0; i < output.top_ids.size(); ++i) {
      top[i / static_cast<size_t>(settings_.top_logprobs)].emplace_back(output.top_ids[i],
                                                                        output.top_logprobs[i]);
    }
  }
  writer_.append(format_result(result));
  ++done_.requests_done;
  done_.tokens_done += num_rows(sequence);
}

std::string Scorer::describe(const NonFiniteError& error) const {
  const size_t index = static_cast<size_t>(error.sequence() - first_sequence_);
  const Request& request = pending_.at(index).request;
  return concat("request ", switchyard::describe(request.id), " (line ", request.line,
                "), position ", error.position(),
                ": a log-prob is not finite; the first infinity or NaN stands in ", error.where(),
                "; check the checkpoint's weights");
}

}  // namespace switchyard
