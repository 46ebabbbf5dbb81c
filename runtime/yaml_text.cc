#include "runtime/yaml_text.h"

#include <boost/json.hpp>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/value_text.h"

namespace switchyard {
namespace {

namespace json = boost::json;

json::value scalar_value(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return json::value(text);  // quoted
  if (text == "null" || text == "~") return nullptr;
  if (text == "true") return true;
  if (text == "false") return false;
  if (const auto whole = parse_number<int64_t>(text)) return *whole;
  if (const auto number = parse_number<double>(text)) return *number;
  return json::value(text);
}

}  // namespace

std::string yaml_place(const std::string& path, const YAML::Mark& mark) {
  return mark.is_null() ? path : concat(path, ", line ", mark.line + 1);
}

YAML::Node parse_yaml(const std::string& text, const std::string& path) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      fail_usage(yaml_place(path, documents[1].Mark()), ": a second YAML document; expected one");
    }
    return documents.empty() ? YAML::Node() : documents[0];
  } catch (const YAML::ParserException& error) {
    fail_usage(yaml_place(path, error.mark), ": not readable as YAML: ", error.msg);
  }
}

json::value json_of_yaml(const YAML::Node& node) {
  if (node.IsScalar()) return scalar_value(node);
  if (node.IsSequence()) {
    json::array items;
    for (const YAML::Node& item : node) items.push_back(json_of_yaml(item));
    return items;
  }
  if (!node.IsMap()) return nullptr;
  json::object entries;
  for (const auto& entry : node) entries[entry.first.Scalar()] = json_of_yaml(entry.second);
  return entries;
}

}  // namespace switchyard
