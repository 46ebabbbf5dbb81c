// Typed access to the keys of a model preset.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/value_text.h"
#include "runtime/flat_yaml.h"

namespace switchyard {

/// The entries of a preset's YAML text, some replaced from the command line. Errors are
/// Error(kUsage) and name file, line, key and value, or the option.
class PresetReader {
 public:
  /// `name` stands for the file in messages. Throws for a key that is not among `keys`, with the
  /// nearest of them.
  PresetReader(const std::string& text, const std::string& name,
               const std::vector<std::string>& keys);

  /// Sets the key `key` as the option --KEY (with dashes) says.
  void replace(const std::string& key, const std::string& value);

  const std::string& name() const { return name_; }
  bool has(const std::string& key) const { return entries_.count(key) > 0; }

  /// The value of a key; `absent` if it is not there, an error if that is not given either.
  int64_t number(const std::string& key, int64_t low, int64_t high,
                 std::optional<int64_t> absent = std::nullopt) const;
  double real(const std::string& key, double absent) const;
  template <typename Value>
  Value choice(const std::string& key, const Choices<Value>& choices,
               std::optional<Value> absent = std::nullopt) const {
    const std::string* text = find(key, absent ? Need::kOptional : Need::kRequired);
    if (text == nullptr) return *absent;
    try {
      return parse_choice(*text, choices);
    } catch (const BadValue& bad) {
      refuse(key, concat("expected ", bad.what()));
    }
  }

  /// Throws: the value of `key`, which may be one that is not there, does not go with others.
  [[noreturn]] void refuse(const std::string& key, const std::string& problem) const;

 private:
  enum class Need { kOptional, kRequired };
  const std::string* find(const std::string& key, Need need) const;

  std::string name_;
  std::map<std::string, FlatYamlEntry> entries_;  // those of options have no `where`
};

}  // namespace switchyard
