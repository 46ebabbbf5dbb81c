// Classes of characters as the tokenizers library of Hugging Face has them.
#pragma once

namespace switchyard {

/// Unicode's White_Space.
bool is_white_space(char32_t character);
/// A letter, mark, digit, connector or joiner: \w of Unicode's UTS 18, annex C.
bool is_word_character(char32_t character);
/// Categories Nd, Nl and No.
bool is_numeric(char32_t character);
/// ASCII's punctuation and symbols, and category P of Unicode 8, whose tables the library has.
bool is_punctuation(char32_t character);
/// Category M of Unicode 9.
bool is_combining_mark(char32_t character);
/// Whether Unicode 9 has the character: the library's tables of normalisation are of that version.
bool is_in_unicode_9(char32_t character);

}  // namespace switchyard
