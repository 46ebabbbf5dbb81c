// Families of models: descriptions that say what a config.json means and where tensors lie.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// Where one universal setting comes from.
struct SettingRule {
  /// Keys of config.json: the first that is there counts. None: the setting is `value` always.
  std::vector<std::string> keys;
  boost::json::value value;  // where no key is there
  /// What values of config.json mean, by their JSON text (strings without quotes); empty:
  /// themselves.
  std::map<std::string, boost::json::value> meanings;
};

/// A key of config.json that must have one of a few values, where another setting has one of a few
/// values; both as JSON texts.
struct Requirement {
  std::string key;
  std::vector<std::string> values;
  boost::json::value absent;  // what a missing key means
  std::string when_key;       // empty: always
  std::vector<std::string> when_values;
};

/// How the tensors of a role are stored.
enum class TensorLayout : uint8_t {
  kWhole,         ///< as one tensor, or as several whose rows follow each other
  kExpertsOutIn,  ///< [experts, out, in], biases [experts, out]
  kExpertsInOut,  ///< [experts, in, out], biases [experts, out]
};

/// The tensors of one role. Templates with "{layer}" and "{expert}".
struct TensorRule {
  std::vector<std::string> weights;  // stacked
  std::vector<std::string> biases;   // stacked
  TensorLayout layout = TensorLayout::kWhole;
};

/// One way in which files of a family name their tensors; roles that it does not name are as the
/// family says.
struct TensorVariant {
  std::string name;
  std::map<std::string, TensorRule> tensors;
};

struct Family {
  std::string name;  // of the description
  std::vector<std::string> model_types;
  std::map<std::string, SettingRule> settings;
  std::vector<Requirement> requirements;
  std::vector<std::string> ignored_keys;  // of config.json, "*" for anything: they change no number
  std::vector<std::string> ignored_tensors;  // templates, "*" for anything
  std::map<std::string, TensorRule> tensors;
  std::vector<TensorVariant> variants;     // the first whose tensors are there
  std::vector<std::string> refused_types;  // model_types that are told apart from unknown ones
  std::string refusal;                     // why
};

/// The YAML text of a description; `base` is what it begins with, and what it does not say again.
/// Errors are of the program's own files: Error(kInternal) naming file and key.
Family parse_family(std::string_view name, std::string_view text, const Family* base);

/// The name of the description that a description begins with; empty: none.
std::string base_of(std::string_view name, std::string_view text);

/// The description for a config.json's "model_type". `source` names the file in errors:
/// Error(kInput) for an unknown or refused type, with the known ones.
const Family& family_of(const std::string& model_type, const std::string& source);

/// All model_types that are known, sorted.
std::vector<std::string> known_model_types();

}  // namespace switchyard
