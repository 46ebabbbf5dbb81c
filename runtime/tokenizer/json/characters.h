// Walking over the characters of a text.
#pragma once

#include <string_view>

#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {

/// Calls visit(character, its bytes) for every character of a text that is valid UTF-8.
template <typename Visit>
void for_each_character(std::string_view text, Visit&& visit) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_code_point(text, at);
    visit(point.value, text.substr(at, static_cast<size_t>(point.length)));
    at += static_cast<size_t>(point.length);
  }
}

}  // namespace switchyard
