#include "runtime/scorer.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// Requests without anything to run that a step may carry along, so that a long run of empty texts
/// is written before memory fills up.
constexpr size_t kMaxPending = 65536;

/// The rows of a sequence: the start token, where there is one, and all tokens but the last, whose
/// row nobody asks for. In a capacity batch that row competes for the experts like any other.
StepSequence make_step_sequence(const ScoreSequence& sequence, int64_t number,
                                const UnitForm& form) {
  StepSequence step;
  step.sequence = number;
  if (sequence.first_token == FirstToken::kAfterStart) step.input_ids.push_back(form.start_token);
  const size_t unused = form.capacity || sequence.token_ids.empty() ? 0 : 1;
  const auto inputs = std::span(sequence.token_ids).first(sequence.token_ids.size() - unused);
  for (const int32_t id : inputs) step.input_ids.push_back(id);
  const int64_t targets = sequence.num_logprobs();
  const auto num_rows = static_cast<int64_t>(step.input_ids.size() + unused) - 1;
  step.first_target_row = num_rows - targets;
  step.target_ids.assign(sequence.token_ids.end() - targets, sequence.token_ids.end());
  // Rotary frequencies may go by the length of the request, its last id included.
  step.planned_length = static_cast<int64_t>(sequence.token_ids.size());
  return step;
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

std::optional<ScoreGroup> ScoreGroups::next() {
  ScoreGroup group;
  const int64_t size = form_.capacity ? form_.capacity->batch_size : 1;
  std::vector<StepSequence> sequences;
  while (static_cast<int64_t>(group.tasks.size()) < size) {
    std::optional<RequestStream::Item> item = requests_.next();
    if (!item) break;
    const int64_t number = next_number_++;
    if (form_.capacity || item->sequence.num_logprobs() > 0) {
      sequences.push_back(make_step_sequence(item->sequence, number, form_));
    }
    group.tasks.push_back({std::move(item->request), std::move(item->sequence)});
  }
  if (group.tasks.empty()) return std::nullopt;
  group.unit = form_.capacity ? make_capacity_unit(std::move(sequences), *form_.capacity)
                              : StepUnit{std::move(sequences)};
  for (size_t i = 0; i < group.unit.sequences.size(); ++i) {
    group.tasks[i].num_rows = group.unit.sequences[i].num_rows();
  }
  return group;
}

RequestSummary check_requests(const std::string& path, const Tokenizer* tokenizer,
                              const ScoreInputOptions& options, const UnitForm& form) {
  RequestStream stream(path, tokenizer, options);
  ScoreGroups groups(stream, form);
  RequestSummary summary{0, 0, 0, 0};
  while (const std::optional<ScoreGroup> group = groups.next()) {
    const UnitLoad load = UnitLoad::of(group->unit, {});
    summary.num_requests += static_cast<int64_t>(group->tasks.size());
    summary.total_rows += load.rows;
    summary.largest_unit_rows = std::max(summary.largest_unit_rows, load.rows);
    summary.largest_unit_pages = std::max(summary.largest_unit_pages, load.pages);
  }
  return summary;
}

RequestSummary unknown_requests(int64_t max_positions, const UnitForm& form) {
  const int64_t count = form.capacity ? form.capacity->batch_size : 1;
  return {-1, -1, count * max_positions, count * pages_of(max_positions)};
}

Scorer::Scorer(RequestStream& requests, ResultWriter& writer, ProgressSink& progress,
               const ScorerSettings& settings)
    : groups_(requests, settings.form), writer_(writer), progress_(progress), settings_(settings) {
  done_.total_requests = settings.summary.num_requests;
  done_.total_tokens = settings.summary.total_rows;
  progress_.start();
}

std::optional<ScoreGroup> Scorer::take() {
  if (!held_) return groups_.next();
  return std::exchange(held_, std::nullopt);
}

StepHeader Scorer::next() {
  StepHeader header;
  header.top_logprobs = settings_.top_logprobs;
  StepFiller filler(settings_.limits);
  while (std::optional<ScoreGroup> group = take()) {
    if (!group->unit.sequences.empty()) {
      if (!filler.add(group->unit)) {
        held_ = std::move(group);
        break;
      }
      header.units.push_back(std::move(group->unit));
    }
    std::ranges::move(group->tasks, std::back_inserter(pending_));
    if (pending_.size() >= kMaxPending) {
      if (!header.units.empty()) break;
      write_all();
    }
  }
  if (header.units.empty()) {
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
  for (const ScoreTask& task : pending_) write(task);
  first_sequence_ += static_cast<int64_t>(pending_.size());
  pending_.clear();
  writer_.flush();
  progress_.update(done_);
}

void Scorer::write(const ScoreTask& task) {
  const ScoreSequence& sequence = task.sequence;
  ScoreResult result;
  result.id = task.request.id;
  result.token_ids.assign(sequence.token_ids.end() - sequence.num_scored, sequence.token_ids.end());
  const int64_t targets = sequence.num_logprobs();
  const SequenceOutput output = task.output.value_or(SequenceOutput{});
  SWITCHYARD_CHECK(static_cast<int64_t>(output.logprobs.size()) == targets, "a result is missing");
  result.token_logprobs = output.logprobs;
  if (sequence.is_pair) {
    result.is_greedy = std::equal(output.greedy.begin(), output.greedy.end(),
                                  result.token_ids.end() - targets, result.token_ids.end());
  }
  if (settings_.top_logprobs > 0) {
    auto& top = result.top_logprobs.emplace(output.logprobs.size());
    for (size_t i = 0; i < output.top_ids.size(); ++i) {
      top[i / static_cast<size_t>(settings_.top_logprobs)].emplace_back(output.top_ids[i],
                                                                        output.top_logprobs[i]);
    }
  }
  writer_.append(format_result(result));
  ++done_.requests_done;
  done_.tokens_done += task.num_rows;
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
