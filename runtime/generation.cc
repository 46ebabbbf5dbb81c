#include "runtime/generation.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {

Generation::Generation(std::shared_ptr<const PreparedPrompt> prompt, int64_t index,
                       const GenerationContext& context)
    : prompt_(std::move(prompt)), index_(index), context_(context) {
  const bool is_followed =
      !context.rules.stops.empty() || context.stream == TextStream::kStandardOutput;
  if (context.tokenizer != nullptr && is_followed) {
    follower_.emplace(*context.tokenizer, context.rules.stops);
  }
  // The prompt takes all positions.
  if (planned_rows() == 0) finish_reason_ = FinishReason::kLength;
}

int64_t Generation::rows_left() const { return is_finished() ? 0 : length() - num_rows_; }

int32_t Generation::id_at(int64_t position) const {
  const int64_t generated = position - prompt_length();
  return generated < 0 ? prompt_->input_ids[static_cast<size_t>(position)]
                       : token_ids_[static_cast<size_t>(generated)];
}

StepSequence Generation::next_rows(int64_t rows) const {
  SWITCHYARD_CHECK(0 < rows && rows <= rows_left());
  StepSequence step;
  step.first_position = num_rows_;
  for (int64_t i = 0; i < rows; ++i) step.input_ids.push_back(id_at(num_rows_ + i));
  step.planned_length = length();
  if (rows < rows_left()) return step;
  const auto token = static_cast<int64_t>(token_ids_.size());
  step.sample = sample_settings(context_.rules.sampling, prompt_->id, index_, token);
  step.sample->is_eos_banned = token < context_.rules.min_new_tokens;
  return step;
}

void Generation::advance(int64_t rows, const SequenceOutput& output) {
  const bool is_last = rows == rows_left();
  num_rows_ += rows;
  if (is_last) accept(output);
}

void Generation::accept(const SequenceOutput& output) {
  SWITCHYARD_CHECK(output.token >= 0, "a token is missing");
  const GenerationRules& rules = context_.rules;
  token_ids_.push_back(output.token);
  if (rules.logprobs == TokenLogprobs::kAdded) token_logprobs_.push_back(output.token_logprob);
  const bool has_stop = follower_ && follower_->follow(token_ids_);
  const bool is_eos = rules.eos == EosRule::kEnds &&
                      std::ranges::find(context_.eos_ids, output.token) != context_.eos_ids.end();
  if (has_stop || is_eos) {
    finish_reason_ = FinishReason::kStop;
  } else if (length() >= context_.planned_length(prompt_length())) {
    finish_reason_ = FinishReason::kLength;
  } else if (context_.rotates_alike && !context_.rotates_alike(length() - 1, length())) {
    num_rows_ = 0;
  }
}

std::string Generation::take_text() {
  if (!follower_) return "";
  std::string text = is_finished() ? this->text() : "";
  text = is_finished() ? text.substr(std::min(shown_, text.size())) : follower_->take_settled();
  shown_ += text.size();
  return text;
}

/// The whole of it, decoded at once, up to the first stop string.
std::string Generation::text() const {
  std::string text = generated_text(*context_.tokenizer, token_ids_);
  if (!follower_ || !follower_->has_stop()) return text;
  size_t end = std::string::npos;
  for (const std::string& stop : context_.rules.stops) end = std::min(end, text.find(stop));
  return end == std::string::npos ? std::string(follower_->before_stop()) : text.substr(0, end);
}

GenerateResult Generation::take_result() {
  SWITCHYARD_CHECK(is_finished());
  GenerateResult result;
  result.id = prompt_->id;
  if (context_.rules.num_results > 1) result.index = index_;
  if (context_.tokenizer != nullptr) result.text = text();
  result.token_ids = std::move(token_ids_);
  result.finish_reason = *finish_reason_;
  if (context_.rules.logprobs == TokenLogprobs::kAdded) {
    result.token_logprobs = std::move(token_logprobs_);
  }
  return result;
}

}  // namespace switchyard
