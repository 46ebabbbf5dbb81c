// Classes of characters in Oniguruma's regular expressions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace switchyard {

/// What both parts of the translator read from: an expression, and where in it they are.
class OnigurumaReader {
 public:
  /// The expression and the place outlive this object.
  OnigurumaReader(std::string_view expression, const std::string& place)
      : expression_(expression), place_(place) {}

  bool at_end() const { return at_ == expression_.size(); }
  bool looking_at(std::string_view text) const { return rest().starts_with(text); }
  std::string_view rest() const { return expression_.substr(at_); }
  /// Goes on behind `text` if the expression goes on with it.
  bool skip(std::string_view text);
  /// The next character; refuses the expression at its end.
  char32_t next();
  /// The text up to `end`, which is skipped; refuses the expression if there is none.
  std::string_view until(std::string_view end, std::string_view what);

  /// Throws Error(kInput) naming the place, what is wrong and the expression.
  [[noreturn]] void refuse(std::string_view what) const;

 private:
  std::string_view expression_;
  const std::string& place_;
  size_t at_ = 0;
};

/// A character in ICU's dialect, inside or outside a class.
std::string icu_character(char32_t character);

/// The class that \w stands for, in ICU's dialect.
std::string icu_word_class();

/// What an escape after its backslash stands for: one character, or a class in ICU's dialect.
struct OnigurumaEscape {
  std::optional<char32_t> character;
  std::string set;
};

/// Reads an escape that means the same inside and outside a class, from behind the backslash.
OnigurumaEscape read_escape(OnigurumaReader& reader);

/// Reads a class from behind its '[' to its ']'; returns it in ICU's dialect, with brackets.
std::string read_class(OnigurumaReader& reader);

}  // namespace switchyard
