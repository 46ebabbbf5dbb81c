// The configuration file's half of OptionTable.
#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <set>

#include "kernels/base/error.h"
#include "launch/nearest_name.h"
#include "launch/option_table.h"

namespace switchyard {
namespace {

std::string place(const std::string& path, const YAML::Mark& mark) {
  return mark.is_null() ? path : concat(path, ", line ", mark.line + 1);
}

YAML::Node parse_yaml(const std::string& text, const std::string& path) {
  try {
    return YAML::Load(text);
  } catch (const YAML::ParserException& error) {
    fail_usage(place(path, error.mark), ": not readable as YAML: ", error.msg);
  }
}

}  // namespace

std::vector<Assignment> OptionTable::parse_config(const std::string& text,
                                                  const std::string& path) const {
  const YAML::Node root = parse_yaml(text, path);
  std::vector<Assignment> assignments;
  if (root.IsNull()) return assignments;
  if (!root.IsMap()) fail_usage(path, ": expected lines of the form 'option: value'");
  std::set<std::string> seen;
  for (const auto& entry : root) {
    const std::string where = place(path, entry.first.Mark());
    if (!entry.first.IsScalar()) fail_usage(where, ": expected an option's name before ':'");
    const std::string& name = entry.first.Scalar();
    if (find(name) == nullptr) {
      fail_usage(where, ": unknown key '", name, "'", suggestion(name, names()),
                 "; the keys are the options of 'switchyard ", command_, " --help'");
    }
    if (!seen.insert(name).second) {
      fail_usage(where, ": '", name, "' is given twice; give it once");
    }
    if (!entry.second.IsScalar()) {
      fail_usage(where, ": '", name, "' must have one plain value (write \"-\" with quotes)");
    }
    assignments.push_back({name, entry.second.Scalar(), "in " + where});
  }
  return assignments;
}

std::string read_config_file(const std::string& path) {
  constexpr size_t kLargest = size_t{1} << 20;  // a real one has a few lines
  std::ifstream file(path, std::ios::binary);
  std::string text;
  char chunk[4096];
  while (file && text.size() <= kLargest) {
    file.read(chunk, sizeof chunk);
    text.append(chunk, static_cast<size_t>(file.gcount()));
  }
  if (!file.eof() && text.size() <= kLargest) {
    fail_input("--config ", path, ": cannot be read: ", std::strerror(errno),
               "; expected a YAML file of lines 'option: value'");
  }
  if (text.size() > kLargest) fail_input("--config ", path, ": larger than 1 MiB");
  return text;
}

}  // namespace switchyard
