// Values of options: from text to types.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {

/// A value that an option does not take; what() is what it does take, as "a whole number". Whoever
/// knows the option's name and source turns it into an Error.
class BadValue : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A whole number from `low` to `high`; throws BadValue.
int64_t parse_whole_number(std::string_view text, int64_t low, int64_t high);

/// A whole number from 0 to 2^64 - 1; throws BadValue.
uint64_t parse_seed(std::string_view text);

/// Seconds, 0 or more, with decimals; throws BadValue.
double parse_seconds(std::string_view text);

/// Bytes from `low` on, as "65536" or "64MiB"; throws BadValue.
int64_t parse_bytes(std::string_view text, int64_t low);

/// Any text but none; throws BadValue saying `expected`.
std::string parse_path(const std::string& text, std::string_view expected);

/// Names of an enumeration's values, in the order they are listed to the user.
template <typename Value>
using Choices = std::vector<std::pair<std::string_view, Value>>;

/// The value that `text` names; throws BadValue listing the names.
template <typename Value>
Value parse_choice(std::string_view text, const Choices<Value>& choices) {
  std::string names;
  for (const auto& [name, value] : choices) {
    if (name == text) return value;
    names += concat(names.empty() ? "" : ", ", name);
  }
  throw BadValue(choices.size() == 1 ? concat(names, ", the only value this version has")
                                     : concat("one of ", names));
}

/// Stores an option's text; what OptionSpec::set is. The target must outlive it.
using Setter = std::function<void(const std::string&)>;

inline Setter store_path(std::string& target, std::string_view expected) {
  return [&target, expected](const std::string& text) { target = parse_path(text, expected); };
}

template <typename Value>
Setter store_choice(Value& target, Choices<std::type_identity_t<Value>> choices) {
  return [&target, choices = std::move(choices)](const std::string& text) {
    target = parse_choice(text, choices);
  };
}

template <typename Number>
Setter store_whole_number(Number& target, int64_t low, int64_t high) {
  return [&target, low, high](const std::string& text) {
    target = static_cast<Number>(parse_whole_number(text, low, high));
  };
}

}  // namespace switchyard
