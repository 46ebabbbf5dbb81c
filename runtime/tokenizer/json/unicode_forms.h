// Mappings of text that Unicode or SentencePiece define.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "runtime/tokenizer/json/charsmap.h"

namespace switchyard {

/// Normalisation forms (Unicode Standard Annex 15).
enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

/// The mapping of valid UTF-8 to a form. Characters that Unicode 9 lacks stay as they are and where
/// they are: the tables of the tokenizers library are of that version. Thread-safe.
std::function<std::string(std::string_view)> make_unicode_form(UnicodeForm form);

/// Every character's lower case, whatever stands around it: no final sigma.
std::string to_lower_case(std::string_view text);

/// The text after the rules: what a user takes for one character (a grapheme cluster, Unicode
/// Standard Annex 29) is looked up as a whole if it is shorter than 6 bytes, else, and where no
/// rule matches, character by character.
std::string apply_charsmap(const Charsmap& rules, std::string_view text);

}  // namespace switchyard
