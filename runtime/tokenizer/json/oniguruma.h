// The regular expressions of tokenizer.json in the words of another library.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

/// An expression in ICU's dialect.
struct TranslatedRegex {
  std::string expression;
  bool can_match_nothing = false;  ///< whether an empty match is possible
};

/// The expression in ICU's dialect that matches what `expression` matches in Oniguruma's (version
/// 6, its own syntax, UTF-8), which is what the tokenizers library of Hugging Face compiles: \h is
/// a hexadecimal digit, ^ and $ match at every line feed, (?m) lets a dot match it, x{n}? is an
/// optional x{n}, x{n,m}+ repeats x{n,m}, \w and \b follow Unicode's categories.
/// What is not in the released tokenizers' patterns or cannot be said in ICU's dialect, as
/// references to groups, throws Error(kInput) that begins with `place` and quotes it.
/// An alternative such as \s+$ that fails for the first character of a run of its own leading set
/// is not tried for the others, where it must fail too: so a run takes linear time.
TranslatedRegex translate_oniguruma(std::string_view expression, const std::string& place);

}  // namespace switchyard
