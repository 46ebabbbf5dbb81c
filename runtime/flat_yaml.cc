#include "runtime/flat_yaml.h"

#include <set>

#include "kernels/base/error.h"
#include "runtime/yaml_text.h"

namespace switchyard {
std::vector<FlatYamlEntry> parse_flat_yaml(const std::string& text, const std::string& path) {
  const YAML::Node root = parse_yaml(text, path);
  std::vector<FlatYamlEntry> entries;
  if (root.IsNull()) return entries;
  if (!root.IsMap()) fail_usage(path, ": expected lines of the form 'key: value'");
  std::set<std::string> seen;
  for (const auto& entry : root) {
    const std::string where = yaml_place(path, entry.first.Mark());
    if (!entry.first.IsScalar()) fail_usage(where, ": expected a name before ':'");
    const std::string& key = entry.first.Scalar();
    if (!seen.insert(key).second) fail_usage(where, ": '", key, "' is given twice; give it once");
    if (!entry.second.IsScalar()) {
      fail_usage(where, ": '", key, "' must have one plain value (write \"-\" with quotes)");
    }
    entries.push_back({key, entry.second.Scalar(), where});
  }
  return entries;
}

}  // namespace switchyard
