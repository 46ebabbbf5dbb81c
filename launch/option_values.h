// Values of options: from text to types.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "kernels/base/value_text.h"

namespace switchyard {

/// A whole number from 0 to 2^64 - 1; throws BadValue.
uint64_t parse_seed(std::string_view text);

/// Seconds, 0 or more, with decimals; throws BadValue.
double parse_seconds(std::string_view text);

/// Bytes from `low` on, as "65536" or "64MiB"; throws BadValue.
int64_t parse_bytes(std::string_view text, int64_t low);

/// Any text but none; throws BadValue saying `expected`.
std::string parse_path(const std::string& text, std::string_view expected);

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
