#include "runtime/tokenizer/gpt2_words.h"

#include <unicode/uchar.h>

#include <array>

#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

enum class CharClass : unsigned char { kLetter, kNumber, kSpace, kOther };

CharClass classify(char32_t value) {
  const UChar32 point = static_cast<UChar32>(value);
  if (u_isUWhiteSpace(point)) return CharClass::kSpace;
  const uint32_t category = U_GET_GC_MASK(point);
  if (category & U_GC_L_MASK) return CharClass::kLetter;
  if (category & U_GC_N_MASK) return CharClass::kNumber;
  return CharClass::kOther;
}

struct ClassifiedChar {
  CharClass char_class;
  int length;
};

ClassifiedChar read_char(std::string_view text, size_t at) {
  static const auto ascii = [] {
    std::array<CharClass, 128> table{};
    for (char32_t value = 0; value < table.size(); ++value) table[value] = classify(value);
    return table;
  }();
  const unsigned char first = static_cast<unsigned char>(text[at]);
  if (first < ascii.size()) return {ascii[first], 1};
  const CodePoint point = decode_code_point(text, at);
  return {classify(point.value), point.length};
}

// Length of the contraction that begins with text[0] == '\'', 0 when there is none.
size_t contraction_length(std::string_view text) {
  for (const std::string_view contraction : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(contraction)) return contraction.size();
  }
  return 0;
}

}  // namespace

std::string_view Gpt2Words::next() {
  if (at_ == text_.size()) return {};
  const size_t begin = at_;
  at_ = end_of_word();
  return text_.substr(begin, at_ - begin);
}

size_t Gpt2Words::end_of_word() const {
  if (text_[at_] == '\'') {
    const size_t length = contraction_length(text_.substr(at_));
    if (length > 0) return at_ + length;
  }
  size_t end = at_;
  if (text_[at_] == ' ' && at_ + 1 < text_.size()) ++end;
  const CharClass char_class = read_char(text_, end).char_class;
  if (char_class == CharClass::kSpace) return end_of_spaces();
  while (end < text_.size()) {
    const ClassifiedChar next = read_char(text_, end);
    if (next.char_class != char_class) break;
    end += next.length;
  }
  return end;
}

// A run of white space up to the text's end is one word; before a word its last character stays
// behind, alone, to be that word's leading space or a word of its own.
size_t Gpt2Words::end_of_spaces() const {
  size_t end = at_;
  size_t last = at_;
  while (end < text_.size()) {
    const ClassifiedChar next = read_char(text_, end);
    if (next.char_class != CharClass::kSpace) break;
    last = end;
    end += next.length;
  }
  return end == text_.size() || last == at_ ? end : last;
}

}  // namespace switchyard
