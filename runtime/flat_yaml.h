// YAML files that are one flat mapping: run configurations and model presets.
#pragma once

#include <string>
#include <vector>

namespace switchyard {

/// One `key: value` of a file.
struct FlatYamlEntry {
  std::string key;
  std::string value;  // as written, without quotes
  std::string where;  // "FILE, line N", for messages
};

/// Reads a mapping from names to plain values, in the order of the file; an empty file has none.
/// `path` is named in messages and is not opened. Throws Error(kUsage) naming file, line and key
/// for anything that is no such mapping, and for a key that is given twice.
std::vector<FlatYamlEntry> parse_flat_yaml(const std::string& text, const std::string& path);

}  // namespace switchyard
