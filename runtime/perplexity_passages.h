// The text whose perplexity is asked for, piece by piece.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/requests/line_reader.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// What an input holds.
enum class TextKind : uint8_t {
  kLines,      ///< a text; its lines are one stream of tokens
  kDocuments,  ///< JSON lines {"text"}, which know nothing of each other
};

/// Documents for a file called *.jsonl, lines for all else.
TextKind text_kind_of(const std::string& input);

/// The tokens of a line, its </s> included, or of a document.
struct Passage {
  int64_t line = 0;  // 1-based
  std::vector<int32_t> ids;
};

/// Reads and encodes one passage at a time.
class PassageReader {
 public:
  /// `tokenizer` must outlive the reader; `special_tokens` is what it adds to a passage. Throws
  /// Error(kInput) when `input` cannot be opened.
  PassageReader(const std::string& input, TextKind kind, const Tokenizer& tokenizer,
                int32_t eos_token, SpecialTokens special_tokens = SpecialTokens::kAdd);

  /// Empty at the end. Throws Error(kInput) naming the line of what is not UTF-8 or no document.
  std::optional<Passage> next();

  TextKind kind() const { return kind_; }
  /// Bytes of the text so far: of the lines with their ends, or of the documents' texts.
  int64_t num_bytes() const;
  /// The input, for messages.
  const std::string& name() const { return lines_.name(); }

 private:
  std::string_view check_utf8(std::string_view line) const;

  LineReader lines_;
  TextKind kind_;
  const Tokenizer& tokenizer_;
  SpecialTokens special_tokens_;
  int32_t eos_token_;
  int64_t document_bytes_ = 0;
};

}  // namespace switchyard
