// The configuration file's half of OptionTable.
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>

#include "kernels/base/error.h"
#include "kernels/base/nearest_name.h"
#include "launch/option_table.h"
#include "runtime/flat_yaml.h"

namespace switchyard {

std::vector<Assignment> OptionTable::parse_config(const std::string& text,
                                                  const std::string& path) const {
  std::vector<Assignment> assignments;
  for (const FlatYamlEntry& entry : parse_flat_yaml(text, path)) {
    if (find(entry.key) == nullptr) {
      fail_usage(entry.where, ": unknown key '", entry.key, "'", suggestion(entry.key, names()),
                 "; the keys are the options of 'switchyard ", command_, " --help'");
    }
    assignments.push_back({entry.key, entry.value, "in " + entry.where});
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
