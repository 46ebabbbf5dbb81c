#include "runtime/tokenizer/json/oniguruma_class.h"

#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

constexpr int kMaxNesting = 50;
constexpr char32_t kHighestCharacter = 0x10FFFF;

bool is_ascii_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }

char32_t read_hexadecimal(OnigurumaReader& reader, std::string_view digits) {
  uint32_t value = 0;
  for (const char digit : digits) {
    const int number = u_digit(static_cast<unsigned char>(digit), 16);
    if (number < 0 || value > kHighestCharacter) reader.refuse("has a malformed \\x or \\u");
    value = value * 16 + static_cast<uint32_t>(number);
  }
  const bool is_surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (digits.empty() || value > kHighestCharacter || is_surrogate) {
    reader.refuse("has a \\x or \\u that is no character");
  }
  return value;
}

std::string take_digits(OnigurumaReader& reader, int count) {
  std::string digits;
  for (int i = 0; i < count; ++i) digits += static_cast<char>(reader.next());
  return digits;
}

char32_t read_hexadecimal_escape(OnigurumaReader& reader, char32_t letter) {
  if (letter == 'u') return read_hexadecimal(reader, take_digits(reader, 4));
  if (reader.skip("{")) return read_hexadecimal(reader, reader.until("}", "\\x{"));
  const char32_t value = read_hexadecimal(reader, take_digits(reader, 2));
  if (value >= 0x80) reader.refuse("names a byte of UTF-8 by \\x; only \\x{...} names a character");
  return value;
}

// Names of properties are compared without spaces, underscores, hyphens and case.
std::string loose(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c == ' ' || c == '_' || c == '-') continue;
    result += static_cast<char>(u_tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

// Whether `name` is the short or the long name of that value; ICU has further ones, which may mean
// something else to Oniguruma ("punct").
bool is_name_of(UProperty property, int32_t value, const std::string& name) {
  for (const UPropertyNameChoice choice : {U_SHORT_PROPERTY_NAME, U_LONG_PROPERTY_NAME}) {
    const char* known = u_getPropertyValueName(property, value, choice);
    if (known != nullptr && loose(known) == name) return true;
  }
  return false;
}

std::string find_property(const std::string& name) {
  for (const auto& [property, prefix] :
       {std::pair(UCHAR_GENERAL_CATEGORY_MASK, "gc="), std::pair(UCHAR_SCRIPT, "sc=")}) {
    const int32_t value = u_getPropertyValueEnum(property, name.c_str());
    if (value == UCHAR_INVALID_CODE || !is_name_of(property, value, name)) continue;
    return concat(prefix, u_getPropertyValueName(property, value, U_SHORT_PROPERTY_NAME));
  }
  const bool is_binary = name == "alphabetic" || name == "uppercase" || name == "lowercase" ||
                         name == "whitespace" || name == "any";
  return is_binary ? name : std::string();
}

std::string read_property(OnigurumaReader& reader, char32_t letter) {
  if (!reader.skip("{")) reader.refuse("has a property without braces");
  std::string_view name = reader.until("}", "\\p{");
  bool is_negated = letter == 'P';
  if (name.starts_with('^')) {
    is_negated = !is_negated;
    name.remove_prefix(1);
  }
  const std::string property = find_property(loose(name));
  if (property.empty()) {
    reader.refuse(concat("has the property '", name, "', which is no category and no script"));
  }
  // The two libraries differ in what else these match without case.
  const bool depends_on_case = property == "gc=Lu" || property == "gc=Ll" || property == "gc=Lt" ||
                               property == "uppercase" || property == "lowercase";
  if (depends_on_case && reader.case_sense() == CaseSense::kIgnored) {
    reader.refuse(concat("has the property '", name, "' where case is ignored"));
  }
  return concat("[", is_negated ? "\\P{" : "\\p{", property, "}]");
}

std::string read_posix_class(OnigurumaReader& reader) {
  std::string_view name = reader.until(":]", "[:");
  const bool is_negated = name.starts_with('^');
  if (is_negated) name.remove_prefix(1);
  const std::vector<std::pair<std::string_view, std::string_view>> classes = {
      {"alpha", "\\p{alphabetic}"},
      {"digit", "\\p{gc=Nd}"},
      {"space", "\\p{whitespace}"},
      {"upper", "\\p{uppercase}"},
      {"lower", "\\p{lowercase}"}};
  for (const auto& [known, set] : classes) {
    if (name == known) return concat(is_negated ? "[^" : "[", set, "]");
  }
  reader.refuse(concat("has the class [:", name, ":]"));
}

// The next item of a class: one character or a whole set.
OnigurumaEscape read_item(OnigurumaReader& reader, int depth);

std::string read_class_at(OnigurumaReader& reader, int depth) {
  if (depth > kMaxNesting) reader.refuse("has classes nested too deep");
  const bool is_negated = reader.skip("^");
  std::string operands;  // those that an && has ended
  std::string items;
  for (bool is_first = true;; is_first = false) {
    if (!is_first && reader.skip("]")) break;
    if (reader.skip("&&")) {
      if (items.empty()) reader.refuse("has an && without a left side");
      operands += concat("[", items, "]&&");
      items.clear();
      continue;
    }
    const OnigurumaEscape item = read_item(reader, depth);
    if (!item.character) {
      items += item.set;
      continue;
    }
    items += icu_character(*item.character);
    const bool is_range = reader.looking_at("-") && !reader.looking_at("-]");
    if (!is_range) continue;
    reader.skip("-");
    const OnigurumaEscape end = read_item(reader, depth);
    if (!end.character || *end.character < *item.character) {
      reader.refuse("has a range of characters without a proper end");
    }
    items += "-" + icu_character(*end.character);
  }
  if (items.empty()) reader.refuse("has an empty class");
  if (!operands.empty()) items = concat(operands, "[", items, "]");
  return concat(is_negated ? "[^" : "[", items, "]");
}

OnigurumaEscape read_item(OnigurumaReader& reader, int depth) {
  if (reader.skip("[:")) return {std::nullopt, read_posix_class(reader)};
  if (reader.skip("[")) return {std::nullopt, read_class_at(reader, depth + 1)};
  if (reader.skip("\\b")) reader.refuse("has \\b in a class");
  if (reader.skip("\\")) return read_escape(reader, OnigurumaScope::kInClass);
  return {reader.next(), ""};
}

}  // namespace

bool OnigurumaReader::skip(std::string_view text) {
  if (!looking_at(text)) return false;
  at_ += text.size();
  return true;
}

char32_t OnigurumaReader::next() {
  if (at_end()) refuse("ends too early");
  const CodePoint point = decode_code_point(expression_, at_);
  at_ += static_cast<size_t>(point.length);
  return point.value;
}

std::string_view OnigurumaReader::until(std::string_view end, std::string_view what) {
  const std::string_view text = rest().substr(0, rest().find(end));
  if (text.size() == rest().size()) refuse(concat("has no ", end, " after ", what));
  at_ += text.size() + end.size();
  return text;
}

void OnigurumaReader::refuse(std::string_view what) const {
  fail_input(place_, ": the regular expression ", what,
             ", which is not supported: ", printable(expression_));
}

bool folds_to_several(char32_t character) {
  const icu::UnicodeString text(static_cast<UChar32>(character));
  return icu::UnicodeString(text).foldCase().countChar32() > 1;
}

std::string icu_character(char32_t character) {
  if (is_ascii_letter(character) || is_ascii_digit(character)) {
    return std::string(1, static_cast<char>(character));
  }
  char text[16];
  std::snprintf(text, sizeof text, "\\x{%X}", static_cast<unsigned>(character));
  return text;
}

std::string icu_word_class(OnigurumaScope scope) {
  const char* latin1_numbers =
      scope == OnigurumaScope::kOutside ? "\\xB2\\xB3\\xB9\\xBC-\\xBE" : "";
  return concat("[\\p{alphabetic}\\p{gc=M}\\p{gc=Nd}\\p{gc=Pc}", latin1_numbers, "]");
}

OnigurumaEscape read_escape(OnigurumaReader& reader, OnigurumaScope scope) {
  constexpr std::pair<char, char32_t> kCharacters[] = {
      {'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'f', '\f'}, {'v', '\v'}, {'a', '\a'}, {'e', 0x1B}};
  constexpr std::pair<char, const char*> kSets[] = {
      {'s', "[\\p{whitespace}]"}, {'S', "[\\P{whitespace}]"}, {'d', "[\\p{gc=Nd}]"},
      {'D', "[\\P{gc=Nd}]"},      {'h', "[0-9A-Fa-f]"},       {'H', "[^0-9A-Fa-f]"}};
  const char32_t letter = reader.next();
  if (!is_ascii_letter(letter) && !is_ascii_digit(letter)) return {letter, ""};
  for (const auto& [name, character] : kCharacters) {
    if (letter == static_cast<char32_t>(name)) return {character, ""};
  }
  for (const auto& [name, set] : kSets) {
    if (letter == static_cast<char32_t>(name)) return {std::nullopt, set};
  }
  if (letter == 'x' || letter == 'u') return {read_hexadecimal_escape(reader, letter), ""};
  if (letter == 'p' || letter == 'P') return {std::nullopt, read_property(reader, letter)};
  if (letter == 'w') return {std::nullopt, icu_word_class(scope)};
  if (letter == 'W') return {std::nullopt, concat("[^", icu_word_class(scope), "]")};
  reader.refuse(concat("has \\", static_cast<char>(letter)));
}

std::string read_class(OnigurumaReader& reader) { return read_class_at(reader, 1); }

}  // namespace switchyard
