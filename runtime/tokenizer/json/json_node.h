// Reading a JSON document entry by entry, with errors that name the entry.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {

/// One entry of a parsed file and where it stands, as "FILE: pre_tokenizer.pretokenizers[1]". Does
/// not own the value. What is of another kind than asked for throws Error(kInput) naming the place.
class JsonNode {
 public:
  JsonNode(const boost::json::value& value, std::string place)
      : value_(&value), place_(std::move(place)) {}

  const std::string& place() const { return place_; }
  const boost::json::value& value() const { return *value_; }

  /// The member of an object that must be there.
  JsonNode at(std::string_view name) const;
  /// The member of an object; nothing if it is absent or null.
  std::optional<JsonNode> find(std::string_view name) const;
  /// The elements of an array.
  std::vector<JsonNode> items() const;

  std::string_view text() const;
  /// A string of one character.
  char32_t character() const;
  bool boolean() const;
  int64_t integer(int64_t low, int64_t high) const;
  /// Of a number of any kind; JSON has no others than finite ones.
  double number() const;
  /// The member "type".
  std::string type() const { return std::string(at("type").text()); }
  /// A member that is true or false, or what it is by default where it is absent or null.
  bool flag(std::string_view name, bool by_default) const;

  /// Throws Error(kInput) of the place and the parts.
  template <typename... Parts>
  [[noreturn]] void refuse(Parts&&... parts) const {
    fail_input(place_, place_.ends_with(':') ? " " : ": ", std::forward<Parts>(parts)...);
  }

 private:
  const boost::json::object& object() const;

  const boost::json::value* value_;
  std::string place_;
};

/// Parses a file's text, nested at most 32 deep. Throws Error(kInput) naming file and byte.
boost::json::value parse_json_file(std::string_view text, const std::string& path);

}  // namespace switchyard
