// UTF-8 as a lenient decoder reads it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace switchyard {

/// What stands for bytes that are not UTF-8.
inline constexpr char32_t kReplacementCharacter = 0xFFFD;

/// One character of a text and the bytes it takes. `is_valid` tells a U+FFFD that stands in the
/// text from one that stands for wrong bytes.
struct CodePoint {
  char32_t value = 0;
  int length = 0;
  bool is_valid = true;
};

/// Reads the character at text[at], at < text.size(). Wrong bytes give U+FFFD for each maximal
/// subpart of a well-formed sequence (Unicode 15, chapter 3.9, "U+FFFD Substitution of Maximal
/// Subparts"), which is what Python's errors="replace" gives too.
CodePoint decode_code_point(std::string_view text, size_t at);

/// The text with every wrong maximal subpart replaced by U+FFFD; what is valid stays as it is.
std::string replace_invalid_utf8(std::string_view text);

/// Where the first bytes that are not UTF-8 begin, npos when there are none.
size_t find_invalid_utf8(std::string_view text);

/// The text without the white space at its end, as Python's str.rstrip leaves it.
std::string_view strip_trailing_spaces(std::string_view text);

/// Appends the UTF-8 bytes of a scalar value (at most U+10FFFF, no surrogate).
void append_utf8(char32_t value, std::string& text);

}  // namespace switchyard
