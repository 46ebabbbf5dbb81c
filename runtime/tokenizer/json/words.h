// A text and the words it has been cut into so far.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/json/text_pattern.h"

namespace switchyard {

/// What pre-tokenizers work on: a text and parts of it, in order, that are to be encoded one by
/// one. None of the parts is empty; between them may lie text that has been dropped.
class Words {
 public:
  /// One word, the whole text. The first `num_original_bytes` of it come from the first character
  /// of what the user gave; 0 if that has been dropped or has become another part of the text.
  Words(std::string text, size_t num_original_bytes);

  const std::vector<TextSpan>& spans() const { return spans_; }
  std::string_view text_of(TextSpan span) const {
    return std::string_view(text_).substr(span.begin, span.end - span.begin);
  }
  /// Whether a word begins with what the first character of the user's text became.
  bool is_first(TextSpan span) const { return span.begin < num_original_bytes_; }

  /// Cuts every word into the parts that `cut` gives for its text, without the empty ones.
  void cut(const std::function<std::vector<TextSpan>(std::string_view)>& cut);
  /// Replaces the text of every word, where it is not empty.
  void replace(const std::function<std::string(TextSpan)>& map);

 private:
  std::string text_;
  std::vector<TextSpan> spans_;
  size_t num_original_bytes_;
};

}  // namespace switchyard
