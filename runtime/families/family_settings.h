// The settings of one config.json, read by a family's description.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/families/family.h"

namespace switchyard {

/// Typed access. Errors are Error(kInput) and name the file, the key in it, its value and what was
/// expected.
class FamilySettings {
 public:
  /// All must outlive the object. Throws for a requirement that is not met.
  FamilySettings(const Family& family, const boost::json::object& config,
                 const std::string& source);

  const std::string& source() const { return source_; }
  const Family& family() const { return family_; }

  /// Whether the setting has a value that is not null. A setting that the description does not
  /// know has none.
  bool has(std::string_view name) const { return !value(name).is_null(); }
  int64_t integer(std::string_view name, int64_t low = 0,
                  int64_t high = std::numeric_limits<int32_t>::max()) const;
  /// `absent` where there is no value.
  int64_t integer_or(std::string_view name, int64_t absent) const;
  double number(std::string_view name) const;
  double number_or(std::string_view name, double absent) const;
  bool flag(std::string_view name) const;
  std::vector<int64_t> integers(std::string_view name) const;
  const boost::json::value& value(std::string_view name) const;

  template <typename Value>
  Value choice(std::string_view name,
               const std::vector<std::pair<std::string_view, Value>>& choices) const {
    const boost::json::string* text = value(name).if_string();
    std::string known;
    for (const auto& [word, meaning] : choices) {
      if (text != nullptr && *text == word) return meaning;
      known += (known.empty() ? "" : ", ") + std::string(word);
    }
    refuse(name, "expected one of " + known);
  }

  /// A key of config.json itself that no rule covers; null where it is not there.
  const boost::json::value& key(std::string_view name) const;

  bool has_key(std::string_view name) const { return config_.contains(name); }

  /// Throws for a key of config.json that nothing has read and that is on no list.
  void require_all_known() const;

  /// Throws naming the key behind a setting, and its value.
  [[noreturn]] void refuse(std::string_view name, const std::string& problem) const;
  /// The same for a key of config.json.
  [[noreturn]] void refuse_key(std::string_view key, const std::string& problem) const;

 private:
  void check(const Requirement& requirement) const;
  const SettingRule* rule(std::string_view name) const;
  /// The key that gives the setting, null if none is there.
  const boost::json::key_value_pair* find(const SettingRule& rule) const;

  const Family& family_;
  const boost::json::object& config_;
  const std::string& source_;
  mutable std::set<std::string> read_;
};

/// A value as descriptions spell it: strings without quotes, everything else as JSON.
std::string plain_text(const boost::json::value& value);

}  // namespace switchyard
