#include "runtime/preset_reader.h"

#include <algorithm>

#include "kernels/base/nearest_name.h"

namespace switchyard {

PresetReader::PresetReader(const std::string& text, const std::string& name,
                           const std::vector<std::string>& keys)
    : name_(name) {
  for (const FlatYamlEntry& entry : parse_flat_yaml(text, name)) {
    if (std::find(keys.begin(), keys.end(), entry.key) == keys.end()) {
      fail_usage(entry.where, ": unknown key '", entry.key, "'", suggestion(entry.key, keys),
                 "; configs/README.md lists the keys of a model");
    }
    entries_[entry.key] = entry;
  }
}

void PresetReader::replace(const std::string& key, const std::string& value) {
  entries_[key] = {key, value, ""};
}

int64_t PresetReader::number(const std::string& key, int64_t low, int64_t high,
                             std::optional<int64_t> absent) const {
  const std::string* text = find(key, absent ? Need::kOptional : Need::kRequired);
  if (text == nullptr) return *absent;
  try {
    return parse_whole_number(*text, low, high);
  } catch (const BadValue& bad) {
    refuse(key, concat("expected ", bad.what()));
  }
}

double PresetReader::real(const std::string& key, double absent) const {
  const std::string* text = find(key, Need::kOptional);
  if (text == nullptr) return absent;
  try {
    return parse_finite(*text);
  } catch (const BadValue& bad) {
    refuse(key, concat("expected ", bad.what()));
  }
}

void PresetReader::refuse(const std::string& key, const std::string& problem) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) fail_usage(name_, ": ", key, " is not given; ", problem);
  const FlatYamlEntry& entry = found->second;
  std::string option = "--" + key;
  std::replace(option.begin(), option.end(), '_', '-');
  fail_usage(entry.where.empty() ? option : concat(entry.where, ": ", key), " is '", entry.value,
             "'; ", problem);
}

const std::string* PresetReader::find(const std::string& key, Need need) const {
  const auto found = entries_.find(key);
  if (found != entries_.end()) return &found->second.value;
  if (need == Need::kOptional) return nullptr;
  fail_usage(name_, ": the key '", key, "' is missing; configs/README.md explains it");
}

}  // namespace switchyard
