// One result on its way: a prompt, what has been generated for it, and where its keys are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/generate_options.h"
#include "runtime/generated_text.h"
#include "runtime/kv_blocks.h"
#include "runtime/requests/prompt.h"
#include "runtime/requests/request.h"
#include "runtime/step.h"

namespace switchyard {

/// What is the same for all generations of a run.
struct GenerationContext {
  GenerationRules rules;
  std::vector<int32_t> eos_ids;
  std::vector<int32_t> banned_ids;       // never generated
  int64_t max_length = 0;                // positions of a sequence
  const Tokenizer* tokenizer = nullptr;  // null: results have no text
  TextStream stream = TextStream::kNone;
  /// Whether sequences of two lengths rotate their keys alike; null: any do.
  std::function<bool(int64_t, int64_t)> rotates_alike = {};

  /// Positions that a sequence may come to have: those of the prompt and of the most new tokens,
  /// as far as there are positions.
  int64_t planned_length(int64_t prompt_length) const {
    return std::min(prompt_length + rules.max_new_tokens, max_length);
  }
  /// Rows that a sequence of that plan runs at most: nothing follows its last token.
  int64_t planned_rows(int64_t prompt_length) const {
    const int64_t length = planned_length(prompt_length);
    return length > prompt_length ? length - 1 : 0;
  }
};

/// What one sequence of a step is part of. Rows first come from the prompt, then from the tokens
/// that were generated. Each token is what follows the ids before it, whatever else a run asks for:
/// where rotary frequencies depend on the length, they go by the length of these ids, and all rows
/// run again when it changes them.
class Generation {
 public:
  /// `index` counts the results of one prompt. `context` must outlive the object.
  Generation(std::shared_ptr<const PreparedPrompt> prompt, int64_t index,
             const GenerationContext& context);

  const PreparedPrompt& prompt() const { return *prompt_; }
  int64_t planned_rows() const { return context_.planned_rows(prompt_length()); }
  /// Whether a single row is missing for the next token.
  bool is_decoding() const { return rows_left() == 1; }
  /// Positions whose rows have run: 0 again when all have to run anew.
  int64_t num_rows() const { return num_rows_; }
  /// Rows that can run now.
  int64_t rows_left() const;
  bool is_finished() const { return finish_reason_.has_value(); }

  /// The next `rows` rows as a part of a step; the last of all there are asks for a token. The
  /// number of the sequence and its pages are left to the caller.
  StepSequence next_rows(int64_t rows) const;
  /// The rows of next_rows() have run; `output` holds the token, where one was asked for.
  void advance(int64_t rows, const SequenceOutput& output);

  /// Text to show, after each advance(): what has come since the last call.
  std::string take_text();
  /// Once it is finished.
  GenerateResult take_result();

  KvTable pages;  // by whoever runs it

 private:
  int64_t prompt_length() const { return static_cast<int64_t>(prompt_->input_ids.size()); }
  int64_t length() const { return prompt_length() + static_cast<int64_t>(token_ids_.size()); }
  int32_t id_at(int64_t position) const;
  void accept(const SequenceOutput& output);
  std::string text() const;

  std::shared_ptr<const PreparedPrompt> prompt_;
  int64_t index_;
  const GenerationContext& context_;
  int64_t num_rows_ = 0;
  std::vector<int32_t> token_ids_;
  std::vector<float> token_logprobs_;
  std::optional<TextFollower> follower_;  // where text is needed before the end
  std::optional<FinishReason> finish_reason_;
  size_t shown_ = 0;  // bytes that take_text() gave
};

}  // namespace switchyard
