// Classes of characters in Oniguruma's regular expressions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace switchyard {

/// Whether letters match their other case, too.
enum class CaseSense { kExact, kIgnored };

/// What both parts of the translator read from: an expression, where in it they are, and which
/// options hold there.
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

  CaseSense case_sense() const { return case_sense_; }
  void set_case_sense(CaseSense sense) { case_sense_ = sense; }

  /// Throws Error(kInput) naming the place, what is wrong and the expression.
  [[noreturn]] void refuse(std::string_view what) const;

 private:
  std::string_view expression_;
  const std::string& place_;
  size_t at_ = 0;
  CaseSense case_sense_ = CaseSense::kExact;
};

/// Where an escape stands.
enum class OnigurumaScope { kInClass, kOutside };

/// Whether a character, without case, is the same as several others in a row, as U+FB01 "fi" is.
bool folds_to_several(char32_t character);

/// A character in ICU's dialect, inside or outside a class.
std::string icu_character(char32_t character);

/// The class that \w stands for, in ICU's dialect. Outside classes the numbers of Latin-1 (as
/// U+00B2) are parts of words, too.
std::string icu_word_class(OnigurumaScope scope);

/// What an escape after its backslash stands for: one character, or a class in ICU's dialect.
struct OnigurumaEscape {
  std::optional<char32_t> character;
  std::string set;
};

/// Reads an escape that stands for a character or a class, from behind the backslash.
OnigurumaEscape read_escape(OnigurumaReader& reader, OnigurumaScope scope);

/// Reads a class from behind its '[' to its ']'; returns it in ICU's dialect, with brackets.
std::string read_class(OnigurumaReader& reader);

}  // namespace switchyard
