#include "runtime/tokenizer/json/oniguruma.h"

#include <cstdint>
#include <optional>

#include "kernels/base/error.h"
#include "kernels/base/value_text.h"
#include "runtime/tokenizer/json/oniguruma_class.h"

namespace switchyard {
namespace {

constexpr int kMaxNesting = 50;
constexpr int64_t kMaxRepetitions = 1000;

// A part of the translation.
struct Fragment {
  std::string text;
  bool can_be_empty = true;
  std::string set = {};  // the class it is, if it is one
};

// An alternative of a group. `guard` fails where the alternative cannot match because it has failed
// for an earlier character of the same run.
struct Alternative {
  std::string text;
  bool can_be_empty = true;
  std::string guard = {};
};

class Translator {
 public:
  Translator(std::string_view expression, const std::string& place) : reader_(expression, place) {}

  TranslatedRegex translate() {
    const Fragment body = alternatives(0);
    if (!reader_.at_end()) reader_.refuse("has a ) without a (");
    // Oniguruma's ^ and $ match at every line feed.
    return {"(?m)" + body.text, body.can_be_empty};
  }

 private:
  Fragment alternatives(int depth);
  Alternative alternative(int depth);
  Fragment atom(int depth);
  Fragment literal(char32_t character);
  Fragment escape();
  Fragment group(int depth);
  std::string other_opening();
  std::string leading_options();
  std::string option_letters(std::string_view letters);
  Fragment repeat(Fragment atom);
  std::optional<Fragment> repeat_counted(const Fragment& atom);

  OnigurumaReader reader_;
};

Fragment Translator::alternatives(int depth) {
  if (depth > kMaxNesting) reader_.refuse("has groups nested too deep");
  Fragment plain{leading_options(), false};
  std::string guarded = plain.text;
  std::string separator;
  do {
    const Alternative next = alternative(depth);
    plain.text += separator + next.text;
    guarded += separator + next.guard + next.text;
    plain.can_be_empty = plain.can_be_empty || next.can_be_empty;
    separator = "|";
  } while (reader_.skip("|"));
  // The guards rely on every position having been tried, which is not so after an empty match.
  if (depth == 0 && !plain.can_be_empty) plain.text = guarded;
  return plain;
}

Alternative Translator::alternative(int depth) {
  Alternative result;
  std::string leading_set;  // of the run that the alternative begins with
  for (int num_items = 0; !reader_.at_end(); ++num_items) {
    if (reader_.looking_at(")") || reader_.looking_at("|")) break;
    const Fragment single = atom(depth);
    const bool is_run = reader_.looking_at("*") || reader_.looking_at("+");
    const Fragment item = repeat(single);
    if (num_items == 0 && is_run) leading_set = single.set;
    // A run that nothing follows matches where it begins.
    if (num_items == 1 && !leading_set.empty()) {
      result.guard = concat("(?:\\G|(?<!", leading_set, "))");
    }
    result.text += item.text;
    result.can_be_empty = result.can_be_empty && item.can_be_empty;
  }
  return result;
}

// Options that hold for the rest of the group. Further inside they would end an alternative.
std::string Translator::leading_options() {
  const std::string_view rest = reader_.rest();
  const size_t end = rest.find_first_not_of("im-", 2);
  if (!rest.starts_with("(?") || end == rest.npos || end == 2 || rest[end] != ')') return "";
  reader_.skip("(?");
  return concat("(?", option_letters(reader_.until(")", "(?")), ")");
}

std::string Translator::option_letters(std::string_view letters) {
  std::string result;
  for (const char letter : letters) {
    if (letter != 'i' && letter != 'm' && letter != '-') {
      reader_.refuse(concat("has the option '", letter, "'"));
    }
    result += letter == 'm' ? 's' : letter;
  }
  const bool has_i = result.find('i') != result.npos;
  const bool is_turned_off = result.find('-') < result.find('i');
  if (has_i) reader_.set_case_sense(is_turned_off ? CaseSense::kExact : CaseSense::kIgnored);
  return result;
}

Fragment Translator::atom(int depth) {
  if (reader_.skip("[")) {
    const std::string set = read_class(reader_);
    return {set, false, set};
  }
  if (reader_.skip("\\")) return escape();
  if (reader_.skip("(")) return group(depth);
  for (const std::string_view same : {"^", "$", "."}) {
    if (reader_.skip(same)) return {std::string(same), same != "."};
  }
  for (const std::string_view quantifier : {"*", "+", "?"}) {
    if (reader_.looking_at(quantifier)) reader_.refuse("repeats nothing or a repetition");
  }
  return literal(reader_.next());
}

Fragment Translator::literal(char32_t character) {
  if (reader_.case_sense() == CaseSense::kIgnored && folds_to_several(character)) {
    reader_.refuse("has a letter that stands for several where case is ignored");
  }
  return {icu_character(character), false};
}

Fragment Translator::escape() {
  if (reader_.skip("A")) return {"\\A", true};
  if (reader_.skip("z")) return {"\\z", true};
  if (reader_.skip("Z")) return {"(?=\\x{A}?\\z)", true};
  const std::string word = icu_word_class(OnigurumaScope::kOutside);
  if (reader_.skip("b")) {
    return {concat("(?:(?<=", word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))"), true};
  }
  if (reader_.skip("B")) {
    return {concat("(?:(?<=", word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))"), true};
  }
  const OnigurumaEscape escape = read_escape(reader_, OnigurumaScope::kOutside);
  if (escape.character) return literal(*escape.character);
  return {escape.set, false, escape.set};
}

Fragment Translator::group(int depth) {
  if (reader_.skip("?#")) {
    reader_.until(")", "(?#");
    return {"(?:)", true};
  }
  bool is_assertion = false;
  std::string opening;
  for (const std::string_view kind : {"?=", "?!", "?<=", "?<!", "?>", "?:"}) {
    if (!reader_.skip(kind)) continue;
    is_assertion = kind != "?>" && kind != "?:";
    opening = kind;
    break;
  }
  const CaseSense outer_sense = reader_.case_sense();
  if (opening.empty()) opening = other_opening();
  const Fragment inside = alternatives(depth + 1);
  reader_.set_case_sense(outer_sense);
  if (!reader_.skip(")")) reader_.refuse("has a ( without a )");
  return {concat("(", opening, inside.text, ")"), is_assertion || inside.can_be_empty};
}

// The opening of a group with a name, with options, or of one that is captured, which nothing can
// refer to.
std::string Translator::other_opening() {
  if (reader_.skip("?<")) {
    reader_.until(">", "(?<");
  } else if (reader_.skip("?")) {
    const std::string_view rest = reader_.rest();
    const size_t end = rest.find_first_of(":)");
    if (end != rest.npos && rest[end] == ')') reader_.refuse("has options within an alternative");
    return concat("?", option_letters(reader_.until(":", "(?")), ":");
  }
  return "?:";
}

Fragment Translator::repeat(Fragment atom) {
  for (const std::string_view kind : {"*", "+", "?"}) {
    if (!reader_.skip(kind)) continue;
    atom.text += kind;
    atom.can_be_empty = atom.can_be_empty || kind != "+";
    for (const std::string_view manner : {"?", "+"}) {
      if (!reader_.skip(manner)) continue;
      atom.text += manner;
      break;
    }
    return atom;
  }
  return repeat_counted(atom).value_or(atom);
}

// {n}, {n,}, {,m} or {n,m}; nothing if the brace begins none of them and stands for itself.
std::optional<Fragment> Translator::repeat_counted(const Fragment& atom) {
  const std::string_view rest = reader_.rest();
  const size_t end = rest.find('}');
  if (!rest.starts_with('{') || end == rest.npos) return std::nullopt;
  const std::string_view range = rest.substr(1, end - 1);
  const size_t comma = std::min(range.find(','), range.size());
  const std::string_view low_text = range.substr(0, comma);
  const std::string_view high_text = comma < range.size() ? range.substr(comma + 1) : low_text;
  const std::optional<int64_t> low = low_text.empty() ? 0 : parse_number<int64_t>(low_text);
  const std::optional<int64_t> high =
      high_text.empty() ? kMaxRepetitions : parse_number<int64_t>(high_text);
  if (!low || !high || (low_text.empty() && high_text.empty())) return std::nullopt;
  if (*low < 0 || *low > *high || *high > kMaxRepetitions) {
    reader_.refuse(concat("repeats something {", range, "} times"));
  }
  reader_.skip(rest.substr(0, end + 1));
  const std::string bounds =
      comma < range.size() ? concat(*low, ",", high_text) : std::string(low_text);
  Fragment result{concat(atom.text, "{", bounds, "}"), atom.can_be_empty || *low == 0};
  if (comma < range.size() && reader_.skip("?")) {
    result.text += "?";
  } else if (reader_.looking_at("?") || reader_.looking_at("+") || reader_.looking_at("*")) {
    // What ICU takes for a manner of repeating is to Oniguruma a repetition of what stands before.
    return repeat({concat("(?:", result.text, ")"), result.can_be_empty});
  }
  return result;
}

}  // namespace

TranslatedRegex translate_oniguruma(std::string_view expression, const std::string& place) {
  return Translator(expression, place).translate();
}

}  // namespace switchyard
