#include "runtime/families/family_settings.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {
namespace {

namespace json = boost::json;

const json::value kNull;

bool is_listed(const std::vector<std::string>& values, const json::value& value) {
  return std::ranges::count(values, plain_text(value)) > 0;
}

std::string join(const std::vector<std::string>& values) {
  std::string text;
  for (const std::string& value : values) text += (text.empty() ? "" : " or ") + value;
  return text;
}

}  // namespace

std::string plain_text(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : json::serialize(value);
}

FamilySettings::FamilySettings(const Family& family, const json::object& config,
                               const std::string& source)
    : family_(family), config_(config), source_(source) {
  for (const Requirement& requirement : family.requirements) check(requirement);
}

void FamilySettings::check(const Requirement& requirement) const {
  const auto get = [&](const std::string& name) -> const json::value& {
    read_.insert(name);
    return key(name);
  };
  const json::value& found = get(requirement.key);
  if (!requirement.when_key.empty()) {
    if (!is_listed(requirement.when_values, get(requirement.when_key))) return;
  }
  const bool is_absent = !config_.contains(requirement.key);
  const json::value& meant = is_absent ? requirement.absent : found;
  if (is_absent && requirement.absent.is_null()) return;
  if (is_listed(requirement.values, meant)) return;
  const std::string when =
      requirement.when_key.empty()
          ? ""
          : concat(" where ", requirement.when_key, " is ", join(requirement.when_values));
  refuse_key(requirement.key,
             concat(is_absent ? concat("which stands for ", plain_text(meant), ", ") : "",
                    "is not supported", when, "; supported is ", join(requirement.values)));
}

const json::value& FamilySettings::key(std::string_view name) const {
  const json::value* found = config_.if_contains(name);
  read_.insert(std::string(name));
  return found == nullptr ? kNull : *found;
}

const SettingRule* FamilySettings::rule(std::string_view name) const {
  const auto found = family_.settings.find(std::string(name));
  return found == family_.settings.end() ? nullptr : &found->second;
}

const json::key_value_pair* FamilySettings::find(const SettingRule& rule) const {
  const json::key_value_pair* found = nullptr;
  for (const std::string& name : rule.keys) {
    const auto* entry = config_.find(name);
    read_.insert(name);
    if (found == nullptr && entry != config_.end()) found = entry;
  }
  return found;
}

const json::value& FamilySettings::value(std::string_view name) const {
  const SettingRule* rule = this->rule(name);
  if (rule == nullptr) return kNull;
  const json::key_value_pair* found = find(*rule);
  const json::value& raw = found == nullptr ? rule->value : found->value();
  if (rule->meanings.empty() || raw.is_null()) return raw;
  const auto meaning = rule->meanings.find(plain_text(raw));
  if (meaning != rule->meanings.end()) return meaning->second;
  std::string known;
  for (const auto& [text, value] : rule->meanings) known += (known.empty() ? "" : ", ") + text;
  refuse(name, concat("is not supported; known are ", known));
}

int64_t FamilySettings::integer(std::string_view name, int64_t low, int64_t high) const {
  const json::value& value = this->value(name);
  const int64_t* number = value.if_int64();
  if (number == nullptr || *number < low || *number > high) {
    refuse(name, concat("expected a whole number from ", low, " to ", high));
  }
  return *number;
}

int64_t FamilySettings::integer_or(std::string_view name, int64_t absent) const {
  return has(name) ? integer(name) : absent;
}

double FamilySettings::number(std::string_view name) const {
  const json::value& value = this->value(name);
  double number = std::nan("");
  if (value.is_double()) number = value.get_double();
  if (value.is_int64()) number = static_cast<double>(value.get_int64());
  if (!std::isfinite(number)) refuse(name, "expected a number");
  return number;
}

double FamilySettings::number_or(std::string_view name, double absent) const {
  return has(name) ? number(name) : absent;
}

bool FamilySettings::flag(std::string_view name) const {
  const json::value& value = this->value(name);
  if (value.is_null()) return false;
  if (!value.is_bool()) refuse(name, "expected true or false");
  return value.get_bool();
}

std::vector<int64_t> FamilySettings::integers(std::string_view name) const {
  const json::value& value = this->value(name);
  std::vector<int64_t> numbers;
  if (value.is_null()) return numbers;
  if (!value.is_array()) refuse(name, "expected a list of whole numbers");
  for (const json::value& item : value.get_array()) {
    if (!item.is_int64()) refuse(name, "expected a list of whole numbers");
    numbers.push_back(item.get_int64());
  }
  return numbers;
}

void FamilySettings::refuse(std::string_view name, const std::string& problem) const {
  const SettingRule* rule = this->rule(name);
  if (rule == nullptr || rule->keys.empty()) {
    fail_input(source_, ": setting ", name, " of family ", family_.name, ": ", problem);
  }
  const json::key_value_pair* found = find(*rule);
  refuse_key(
      found == nullptr ? std::string_view(rule->keys.front()) : std::string_view(found->key()),
      problem);
}

void FamilySettings::refuse_key(std::string_view key, const std::string& problem) const {
  const json::value* found = config_.if_contains(key);
  fail_input(source_, ": \"", printable(key), "\"",
             found == nullptr ? std::string(" is missing")
                              : concat(": ", printable(json::serialize(*found))),
             ": ", problem);
}

void FamilySettings::require_all_known() const {
  // Also what this model has no use for: the sizes of experts where no layer has any.
  for (const auto& [name, rule] : family_.settings)
    read_.insert(rule.keys.begin(), rule.keys.end());
  for (const auto& item : config_) {
    const std::string key(item.key());
    if (item.value().is_null() || read_.count(key) > 0) continue;
    const auto matches = [&key](const std::string& pattern) {
      return fnmatch(pattern.c_str(), key.c_str(), 0) == 0;
    };
    if (std::ranges::any_of(family_.ignored_keys, matches)) continue;
    refuse_key(key, concat("is no setting of model_type ", family_.model_types.front(),
                           " that is known here; take it out of the file if it changes no number"));
  }
}

}  // namespace switchyard
