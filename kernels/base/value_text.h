// Values that people write: from text to types.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {

/// A value that an option or a key does not take; what() is what it does take, as "a whole number".
/// Whoever knows the name and the source turns it into an Error.
class BadValue : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The number that is the whole of `text`, or nothing.
template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end) return std::nullopt;
  return value;
}

/// A whole number from `low` to `high`; throws BadValue.
int64_t parse_whole_number(std::string_view text, int64_t low, int64_t high);

/// A finite number, as "0.25" or "-1"; throws BadValue.
double parse_finite(std::string_view text);

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

}  // namespace switchyard
