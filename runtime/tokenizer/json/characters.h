// Texts and their characters.
#pragma once

#include <limits>
#include <string_view>

#include "kernels/base/error.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {

/// Throws Error(kInput) for a text whose bytes the libraries and models cannot count.
inline void check_length(std::string_view text) {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail_input("a text of ", text.size(), " bytes is too long to be tokenized; split it");
  }
}

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
