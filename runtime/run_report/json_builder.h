// Writing a JSON document member by member.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/requests/json_text.h"

namespace switchyard {

/// Appends to a text. The caller closes what it opens. Lists of numbers stand on one line; how
/// objects are broken into lines is left to break_line().
class JsonBuilder {
 public:
  JsonBuilder& begin_object() { return open('{'); }
  JsonBuilder& begin_array() { return open('['); }
  JsonBuilder& end_object() { return close('}'); }
  JsonBuilder& end_array() { return close(']'); }
  /// The name of the member that comes next.
  JsonBuilder& key(std::string_view name) {
    separate();
    append_json_string(name, text_);
    text_ += ':';
    is_first_ = true;
    return *this;
  }
  /// What comes next stands on a line of its own.
  JsonBuilder& break_line() {
    separate();
    text_ += '\n';
    is_first_ = true;
    return *this;
  }

  JsonBuilder& value(std::string_view words) {
    separate();
    append_json_string(words, text_);
    return *this;
  }
  JsonBuilder& value(double number) {
    separate();
    append_json_number(number, text_);
    return *this;
  }
  template <std::integral Number>
  JsonBuilder& value(Number number) {
    separate();
    text_ += std::to_string(number);
    return *this;
  }
  template <typename Value>
  JsonBuilder& value(const std::vector<Value>& list) {
    begin_array();
    for (const Value& item : list) value(item);
    return end_array();
  }
  template <typename Value>
  JsonBuilder& member(std::string_view name, const Value& its_value) {
    return key(name).value(its_value);
  }

  const std::string& text() const { return text_; }

 private:
  void separate() {
    if (!is_first_) text_ += ',';
    is_first_ = false;
  }
  JsonBuilder& open(char bracket) {
    separate();
    text_ += bracket;
    is_first_ = true;
    return *this;
  }
  JsonBuilder& close(char bracket) {
    text_ += bracket;
    is_first_ = false;
    return *this;
  }

  std::string text_;
  bool is_first_ = true;  // nothing stands before what comes next
};

}  // namespace switchyard
