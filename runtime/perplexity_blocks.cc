#include "runtime/perplexity_blocks.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/scheduler.h"

namespace switchyard {

int64_t BlockRules::max_rows() const {
  const int64_t begin = begin_token ? 1 : 0;
  const int64_t longest = break_mode == BreakMode::kNone
                              ? std::max(block_size + context_window, block_size + begin)
                              : max_positions;
  if (!capacity) return longest;
  return std::max(longest, (break_mode == BreakMode::kNone ? block_size + begin : max_positions) +
                               context_window);
}

BlockRules make_block_rules(const PerplexityOptions& options, const ModelConfig& config,
                            TextKind kind, const std::optional<CapacityShape>& capacity) {
  const bool has_start = config.start_token != ModelConfig::kNoToken;
  if (!has_start && kind == TextKind::kLines) {
    fail_usage(
        "--input ", options.input, ": a text file is cut into lines and blocks as fairseq ",
        "does, for its models; give documents, one {\"text\": ...} a line, in a file NAME.jsonl");
  }
  const bool has_begin_token = kind == TextKind::kLines && config.start_token != config.eos_token();
  const int64_t most = config.trained_positions - (has_begin_token ? 1 : 0);
  const int64_t tokens = options.tokens_per_sample == 0 ? most : options.tokens_per_sample;
  if (tokens > most) {
    fail_usage("--tokens-per-sample ", tokens, " is more than the ", most,
               " tokens that the model's ", config.trained_positions, " positions can take");
  }
  if (options.context_window >= tokens) {
    fail_usage("--context-window ", options.context_window, " leaves nothing of the ", tokens,
               " tokens of a sample; give less, or more --tokens-per-sample");
  }
  if (kind == TextKind::kDocuments && options.break_mode != BreakMode::kNone) {
    fail_usage("--break-mode is for text files: ", options.input, " holds documents, which are ",
               "cut as by none");
  }
  BlockRules rules;
  rules.break_mode = options.break_mode;
  rules.block_size = tokens - options.context_window;
  rules.context_window = options.context_window;
  rules.max_positions = config.trained_positions;
  rules.first_input.reset();
  if (has_start) {
    rules.first_input = kind == TextKind::kLines ? config.eos_token() : config.start_token;
  }
  if (has_begin_token) rules.begin_token = config.start_token;
  rules.capacity = capacity;
  if (capacity) rules.capacity->pad_rows_to = tokens;
  return rules;
}

BlockStream::BlockStream(PassageReader& passages, const BlockRules& rules)
    : passages_(passages), rules_(rules), previous_(rules.first_input.value_or(0)) {}

std::optional<TextBlock> BlockStream::next() {
  std::optional<Targets> targets =
      rules_.break_mode == BreakMode::kNone ? take_targets() : take_lines();
  if (!targets) return std::nullopt;
  return make_block(std::move(*targets));
}

/// The next block size of tokens, wherever their lines end; of a document no more than it has.
std::optional<BlockStream::Targets> BlockStream::take_targets() {
  read_ahead();
  if (!has_ids()) return std::nullopt;
  const size_t count = std::min(ids_.size() - ids_at_, static_cast<size_t>(rules_.block_size));
  while (line_ends_.front().first <= ids_at_) line_ends_.erase(line_ends_.begin());
  Targets targets;
  targets.line = line_ends_.front().second;
  const auto begin = ids_.begin() + static_cast<std::ptrdiff_t>(ids_at_);
  targets.ids.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
  ids_at_ += count;
  return targets;
}

/// Reads passages until a block of tokens is there: of lines as many as it takes, of documents one
/// that has any.
void BlockStream::read_ahead() {
  const bool joins = passages_.kind() == TextKind::kLines;
  const auto is_enough = [&] {
    const size_t waiting = ids_.size() - ids_at_;
    return joins ? waiting >= static_cast<size_t>(rules_.block_size) : waiting > 0;
  };
  if (is_enough()) return;
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(ids_at_));
  for (auto& [end, line] : line_ends_) end -= std::min(end, ids_at_);
  std::erase_if(line_ends_, [](const auto& end) { return end.first == 0; });
  ids_at_ = 0;
  while (!is_enough()) {
    const std::optional<Passage> passage = passages_.next();
    if (!passage) return;
    if (passage->ids.empty()) continue;
    const bool scores_first = joins || rules_.first_input.has_value();
    if (!joins) {
      previous_ = rules_.first_input.value_or(passage->ids.front());
      context_.clear();
    }
    if (!scores_first && passage->ids.size() == 1) continue;
    ids_.insert(ids_.end(), passage->ids.begin() + (scores_first ? 0 : 1), passage->ids.end());
    line_ends_.emplace_back(ids_.size(), passage->line);
  }
}

/// The next lines that fit into a block; one of them at least, with BreakMode::kEos just one.
std::optional<BlockStream::Targets> BlockStream::take_lines() {
  std::optional<Passage> first = held_ ? std::exchange(held_, std::nullopt) : passages_.next();
  if (!first) return std::nullopt;
  Targets targets = {first->line, std::move(first->ids)};
  while (rules_.break_mode == BreakMode::kComplete) {
    held_ = passages_.next();
    if (!held_) break;
    if (static_cast<int64_t>(targets.ids.size() + held_->ids.size()) > rules_.block_size) break;
    targets.ids.insert(targets.ids.end(), held_->ids.begin(), held_->ids.end());
    held_.reset();
  }
  return targets;
}

TextBlock BlockStream::make_block(Targets targets) {
  std::vector<int32_t> own;
  if (rules_.begin_token) own.push_back(*rules_.begin_token);
  own.push_back(previous_);
  own.insert(own.end(), targets.ids.begin(), targets.ids.end() - 1);
  const auto num_own = static_cast<int64_t>(own.size());
  if (num_own > rules_.max_positions) {
    fail_input(passages_.name(), ":", targets.line, ": the line is a block of ", targets.ids.size(),
               " tokens, but the model has positions for ",
               rules_.max_positions - (rules_.begin_token ? 1 : 0),
               "; cut the line, or use --break-mode none");
  }
  // As the reference: context makes room where a block is longer than usual.
  const int64_t excess =
      static_cast<int64_t>(context_.size()) + num_own - rules_.block_size - rules_.context_window;
  const int64_t dropped = std::clamp<int64_t>(excess, 0, static_cast<int64_t>(context_.size()));
  TextBlock block;
  block.line = targets.line;
  block.input_ids.assign(context_.begin() + dropped, context_.end());
  block.num_context = static_cast<int64_t>(block.input_ids.size()) + num_own -
                      static_cast<int64_t>(targets.ids.size());
  block.input_ids.insert(block.input_ids.end(), own.begin(), own.end());
  previous_ = targets.ids.back();
  const int64_t kept =
      std::min(rules_.context_window, static_cast<int64_t>(block.input_ids.size()));
  context_.assign(block.input_ids.end() - kept, block.input_ids.end());
  block.target_ids = std::move(targets.ids);
  return block;
}

StepSequence BlockUnits::make_sequence(TextBlock block) {
  StepSequence sequence;
  sequence.sequence = next_number_++;
  sequence.first_target_row = block.num_context;
  if (rules_.capacity) {
    // The reference makes room for the whole window, whatever of it there is.
    const int64_t context = block.num_context - (rules_.begin_token ? 1 : 0);
    sequence.num_pads = rules_.context_window - context;
  }
  // As for a request of these ids: the last is no input.
  sequence.planned_length = static_cast<int64_t>(block.input_ids.size()) + 1;
  sequence.input_ids = std::move(block.input_ids);
  sequence.target_ids = std::move(block.target_ids);
  return sequence;
}

std::optional<BlockUnit> BlockUnits::next() {
  const int64_t size = rules_.capacity ? rules_.capacity->batch_size : 1;
  BlockUnit result;
  std::vector<StepSequence> sequences;
  while (static_cast<int64_t>(sequences.size()) < size) {
    std::optional<TextBlock> block = blocks_.next();
    if (!block) break;
    result.lines.push_back(block->line);
    sequences.push_back(make_sequence(std::move(*block)));
  }
  if (sequences.empty()) return std::nullopt;
  result.unit = rules_.capacity ? make_capacity_unit(std::move(sequences), *rules_.capacity)
                                : StepUnit{std::move(sequences)};
  return result;
}

RequestSummary count_blocks(PassageReader& passages, const BlockRules& rules) {
  BlockUnits units(passages, rules);
  RequestSummary summary{0, 0, 0, 0};
  while (const std::optional<BlockUnit> unit = units.next()) {
    const UnitLoad load = UnitLoad::of(unit->unit, {});
    summary.num_requests += static_cast<int64_t>(unit->lines.size());
    summary.total_rows += load.rows;
    summary.largest_unit_rows = std::max(summary.largest_unit_rows, load.rows);
    summary.largest_unit_pages = std::max(summary.largest_unit_pages, load.pages);
  }
  return summary;
}

RequestSummary unknown_blocks(const BlockRules& rules) {
  const int64_t count = rules.capacity ? rules.capacity->batch_size : 1;
  return {-1, -1, count * rules.max_rows(), count * pages_of(rules.max_rows())};
}

}  // namespace switchyard
