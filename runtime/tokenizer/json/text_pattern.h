// Finding and replacing what a pattern of tokenizer.json matches.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/json/json_node.h"

namespace switchyard {

/// Bytes begin to end of a text.
struct TextSpan {
  size_t begin = 0;
  size_t end = 0;
};

/// A part of a text: a match of a pattern, or what stands between two.
struct TextPart {
  TextSpan span;
  bool is_match = false;
};

/// Cuts texts into matches and what stands between them. Immutable and thread-safe.
class TextPattern {
 public:
  TextPattern() = default;
  TextPattern(const TextPattern&) = delete;
  TextPattern& operator=(const TextPattern&) = delete;
  virtual ~TextPattern() = default;

  /// All parts of a text that is valid UTF-8, from left to right; matches alone can be empty. An
  /// empty text has none.
  std::vector<TextPart> cut(std::string_view text) const;

 private:
  /// The matches from left to right, none within another.
  virtual std::vector<TextSpan> find(std::string_view text) const = 0;
};

/// The characters for which a function is true, each a match.
std::unique_ptr<const TextPattern> make_character_pattern(std::function<bool(char32_t)> is_match);

/// The pattern of an entry {"String": text} or {"Regex": expression}; an expression is in
/// Oniguruma's dialect (see translate_oniguruma). Throws Error(kInput) naming the entry.
std::unique_ptr<const TextPattern> make_text_pattern(const JsonNode& node);

/// A text in which matches have been replaced.
struct ReplacedText {
  std::string text;
  size_t first_match_end = 0;  ///< in the text before; 0 if it does not begin with a match
};

/// Puts a text in the place of every match.
class TextReplacement {
 public:
  TextReplacement(std::unique_ptr<const TextPattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  ReplacedText apply(std::string_view text) const;

 private:
  std::unique_ptr<const TextPattern> pattern_;
  std::string content_;
};

/// The replacement of an entry {"pattern": ..., "content": text}; `content` is no template.
std::unique_ptr<const TextReplacement> make_replacement(const JsonNode& node);

}  // namespace switchyard
