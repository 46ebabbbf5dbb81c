#include "runtime/generator.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {

Generator::Generator(PromptStream& prompts, GeneratorOutput output, ProgressSink& progress,
                     const GeneratorSettings& settings)
    : prompts_(prompts), output_(std::move(output)), progress_(progress), settings_(settings) {
  const KvBlocks blocks(settings.shape.blocks(), settings.summary.cache_pages);
  ranks_.assign(static_cast<size_t>(settings.limits.num_ranks), {blocks, 0});
  done_.total_requests = settings.summary.num_requests;
  progress_.start();
}

bool Generator::read_prompt() {
  // Nobody who still runs waits for the next prompt of somebody who types.
  if (has_ended_ || (!running_.empty() && prompts_.would_wait())) return false;
  std::optional<PreparedPrompt> read = prompts_.next();
  has_ended_ = !read;
  if (!read) return false;
  const auto prompt = std::make_shared<const PreparedPrompt>(std::move(*read));
  for (int64_t i = 0; i < settings_.context.rules.num_results; ++i) {
    waiting_[next_sequence_++] = std::make_unique<Generation>(prompt, i, settings_.context);
  }
  return true;
}

int Generator::find_rank() const {
  const auto fewest = std::ranges::min_element(ranks_, {}, &Rank::num_running);
  if (fewest->num_running >= settings_.shape.batch_size()) return -1;
  return static_cast<int>(fewest - ranks_.begin());
}

void Generator::admit() {
  for (int rank = find_rank(); rank >= 0; rank = find_rank()) {
    if (waiting_.empty() && !read_prompt()) return;
    auto& [sequence, generation] = *waiting_.begin();
    if (generation->is_finished()) {
      finish(sequence, *generation);
    } else {
      Rank& home = ranks_[static_cast<size_t>(rank)];
      if (!home.blocks.reserve(generation->planned_rows(), generation->pages)) {
        SWITCHYARD_CHECK(home.num_running > 0, "a sequence has more pages than a rank");
        return;
      }
      ++home.num_running;
      running_[sequence] = {std::move(generation), rank, 0};
    }
    waiting_.erase(waiting_.begin());
  }
}

StepHeader Generator::next() {
  admit();
  give_out();
  StepHeader header;
  header.eos_ids = settings_.context.eos_ids;
  header.banned_ids = settings_.context.banned_ids;
  if (running_.empty()) return header;
  header.kind = StepKind::kRun;
  std::vector<int64_t> rows_left(ranks_.size(), settings_.limits.max_rows);
  add_units(RowKind::kLast, rows_left, header);
  add_units(RowKind::kChunk, rows_left, header);
  return header;
}

void Generator::add_units(RowKind kind, std::vector<int64_t>& rows_left, StepHeader& header) {
  const int64_t chunk = settings_.shape.blocks().chunk;
  for (auto& [sequence, running] : running_) {
    if (running.generation->is_decoding() != (kind == RowKind::kLast)) continue;
    int64_t& room = rows_left[static_cast<size_t>(running.rank)];
    running.step_rows = std::min({running.generation->rows_left(), chunk, room});
    if (running.step_rows == 0) continue;
    room -= running.step_rows;
    header.units.push_back(make_unit(sequence, running));
  }
}

StepUnit Generator::make_unit(int64_t sequence, Running& running) {
  Generation& generation = *running.generation;
  const int64_t first = generation.num_rows();
  const int64_t end = first + running.step_rows;
  ranks_[static_cast<size_t>(running.rank)].blocks.advance(first, end, generation.pages);
  StepUnit unit;
  unit.rank = running.rank;
  StepSequence& step = unit.sequences.emplace_back(generation.next_rows(running.step_rows));
  step.sequence = sequence;
  step.pages = generation.pages.pages_up_to(end);
  return unit;
}

void Generator::consume(std::vector<SequenceOutput> outputs) {
  std::map<int64_t, const SequenceOutput*> output_of;
  for (const SequenceOutput& output : outputs) output_of[output.sequence] = &output;
  for (auto at = running_.begin(); at != running_.end();) {
    auto& [sequence, running] = *at;
    if (running.step_rows > 0) {
      const auto output = output_of.find(sequence);
      SWITCHYARD_CHECK(output != output_of.end(), "the output of a sequence is missing");
      advance(running, *output->second);
    }
    if (!running.generation->is_finished()) {
      ++at;
      continue;
    }
    finish(sequence, *running.generation);
    at = running_.erase(at);
  }
  give_out();
}

void Generator::advance(Running& running, const SequenceOutput& output) {
  Generation& generation = *running.generation;
  generation.advance(running.step_rows, output);
  if (output_.text) output_.text(generation.take_text());
  if (output.token >= 0) ++done_.tokens_done;
  Rank& home = ranks_[static_cast<size_t>(running.rank)];
  if (generation.is_finished()) {
    home.blocks.release(generation.pages);
    --home.num_running;
  } else if (generation.num_rows() == 0) {
    home.blocks.restart(generation.pages);
  }
}

void Generator::finish(int64_t sequence, Generation& generation) {
  results_[sequence] = format_result(generation.take_result());
}

void Generator::give_out() {
  const int64_t before = next_result_;
  for (; !results_.empty() && results_.begin()->first == next_result_; ++next_result_) {
    output_.line(results_.begin()->second);
    results_.erase(results_.begin());
  }
  if (next_result_ > before) output_.flush();
  const auto num_results = static_cast<int64_t>(results_.size()) + next_result_;
  done_.requests_done = num_results / settings_.context.rules.num_results;
  progress_.update(done_);
}

std::string Generator::describe(const NonFiniteError& error) const {
  const PreparedPrompt& prompt = running_.at(error.sequence()).generation->prompt();
  return concat("request ", switchyard::describe(prompt.id), " (line ", prompt.line, "), position ",
                error.position(),
                ": a log-prob is not finite; the first infinity or NaN stands in ", error.where(),
                "; check the checkpoint's weights");
}

}  // namespace switchyard
