// Prompts in order, as the ids that a model reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/requests/duplicate_ids.h"
#include "runtime/requests/line_reader.h"
#include "runtime/requests/request.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// How many prompts an input may hold.
enum class PromptCount : uint8_t { kAny, kOne };

/// What decides which ids a prompt has, beside the tokenizer.
struct PromptOptions {
  int64_t vocab_size = 0;
  int64_t max_length = 0;    // positions of a sequence
  int32_t start_token = -1;  // stands before every prompt; negative: none does
  int32_t pad = -1;          // refused: it stands for no token; negative: the model has none
  SpecialTokens special_tokens = SpecialTokens::kAdd;
  PromptCount count = PromptCount::kAny;
  std::string tokenizer_help;  // why there is no tokenizer and what to do, for prompts of text
};

/// A prompt ready to run.
struct PreparedPrompt {
  int64_t line = 0;  // 1-based, for messages
  RequestId id;
  std::vector<int32_t> input_ids;  // the start token included, at least one, at most max_length
};

/// Text is encoded with what the tokenizer adds to it, ids are taken as they are. `tokenizer` may
/// be null. Throws Error(kInput) naming source, line, request, and what to do.
PreparedPrompt prepare_prompt(const Prompt& prompt, const Tokenizer* tokenizer,
                              const PromptOptions& options, const std::string& source);

/// Reads prompts in order. Duplicates are found as they come.
class PromptStream {
 public:
  /// The prompts of a file, or of standard input ("-"). `tokenizer` may be null and must outlive
  /// the stream, as must `options`.
  PromptStream(const std::string& path, const Tokenizer* tokenizer, const PromptOptions& options);
  /// A single text, whose id is 1.
  PromptStream(const Prompt& text, const Tokenizer* tokenizer, const PromptOptions& options);

  /// Empty at the end. Throws Error(kInput) naming the line.
  std::optional<PreparedPrompt> next();

  /// Whether next() would have to wait for somebody to write.
  bool would_wait() const { return reader_ && reader_->would_wait(); }

 private:
  std::optional<LineReader> reader_;
  std::optional<Prompt> text_;
  DuplicateIds ids_;
  const Tokenizer* tokenizer_;
  const PromptOptions& options_;
  int64_t num_read_ = 0;
};

}  // namespace switchyard
