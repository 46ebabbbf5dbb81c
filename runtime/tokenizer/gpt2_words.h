// How GPT-2's tokenizer cuts a text into words before it merges bytes.
#pragma once

#include <cstddef>
#include <string_view>

namespace switchyard {

/// Cuts a text as GPT-2's regular expression does:
///   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
/// The words, joined, are the text. Time is linear in its length.
class Gpt2Words {
 public:
  /// `text` is valid UTF-8 and outlives this object.
  explicit Gpt2Words(std::string_view text) : text_(text) {}

  /// The next word, a part of the text; empty at its end.
  std::string_view next();

 private:
  size_t end_of_word() const;
  size_t end_of_spaces() const;

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace switchyard
