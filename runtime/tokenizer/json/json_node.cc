#include "runtime/tokenizer/json/json_node.h"

#include <boost/json.hpp>

#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

std::string what_it_is(const boost::json::value& value) {
  return printable(boost::json::serialize(value).substr(0, 200));
}

}  // namespace

const boost::json::object& JsonNode::object() const {
  if (!value_->is_object()) refuse("expected an object {...}, found ", what_it_is(*value_));
  return value_->get_object();
}

JsonNode JsonNode::at(std::string_view name) const {
  const boost::json::value* member = object().if_contains(name);
  if (member == nullptr) refuse("lacks the entry \"", name, "\"");
  return JsonNode(*member, concat(place_, place_.ends_with(':') ? " " : ".", name));
}

std::optional<JsonNode> JsonNode::find(std::string_view name) const {
  const boost::json::value* member = object().if_contains(name);
  if (member == nullptr || member->is_null()) return std::nullopt;
  return at(name);
}

std::vector<JsonNode> JsonNode::items() const {
  if (!value_->is_array()) refuse("expected an array [...], found ", what_it_is(*value_));
  std::vector<JsonNode> nodes;
  for (const boost::json::value& item : value_->get_array()) {
    nodes.emplace_back(item, concat(place_, "[", nodes.size(), "]"));
  }
  return nodes;
}

std::string_view JsonNode::text() const {
  if (!value_->is_string()) refuse("expected a string, found ", what_it_is(*value_));
  return value_->get_string();
}

char32_t JsonNode::character() const {
  const std::string_view string = text();
  if (!string.empty()) {
    const CodePoint point = decode_code_point(string, 0);
    if (static_cast<size_t>(point.length) == string.size()) return point.value;
  }
  refuse("expected a string of one character, found ", what_it_is(*value_));
}

bool JsonNode::boolean() const {
  if (!value_->is_bool()) refuse("expected true or false, found ", what_it_is(*value_));
  return value_->get_bool();
}

int64_t JsonNode::integer(int64_t low, int64_t high) const {
  if (value_->is_int64() && value_->get_int64() >= low && value_->get_int64() <= high) {
    return value_->get_int64();
  }
  refuse("expected a whole number from ", low, " to ", high, ", found ", what_it_is(*value_));
}

double JsonNode::number() const {
  boost::system::error_code error;
  const double number = value_->to_number<double>(error);
  if (error) refuse("expected a number, found ", what_it_is(*value_));
  return number;
}

bool JsonNode::flag(std::string_view name, bool by_default) const {
  const std::optional<JsonNode> member = find(name);
  return member ? member->boolean() : by_default;
}

boost::json::value parse_json_file(std::string_view text, const std::string& path) {
  boost::json::stream_parser parser;
  boost::system::error_code error;
  const size_t used = parser.write_some(text, error);
  if (!error && used < text.size()) error = boost::json::error::extra_data;
  if (!error) parser.finish(error);
  if (error) fail_input(path, ": not valid JSON at byte ", used, " (", error.message(), ")");
  return parser.release();
}

}  // namespace switchyard
