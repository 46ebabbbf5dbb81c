// fairseq's stored configuration: which of its settings count, and what they are.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/pickle.h"

namespace switchyard {

/// The settings of `cfg` that decide numbers, by "section.name", as text: "None", "True", "False",
/// a decimal number, a string in single quotes, or a description of anything else.
using FairseqSettings = std::map<std::string, std::string>;

/// What a file says about its configuration.
struct FairseqConfigPart {
  FairseqSettings settings;
  /// Why there are no settings; empty if there are.
  std::string missing;
};

/// Picks the settings out of the object tree of a checkpoint file: out of `args` if that is there,
/// else out of `cfg`. Either is a mapping of sections, or one flat mapping as of command-line
/// arguments (then `arch` stands for model._name). References "${section.name}" are resolved.
/// Throws Error(kInput) naming `source` if it is in another form.
FairseqConfigPart read_fairseq_config(const Pickle& pickle, const std::string& source);

/// Settings that change the model in ways that are not implemented, so that they must be off
/// (absent, None, False, 0 or an empty string).
const std::vector<std::string_view>& fairseq_settings_that_must_be_off();

/// Typed access to settings. Errors are Error(kInput) naming source, setting, value and what was
/// expected. Settings and source must outlive the reader.
class SettingReader {
 public:
  SettingReader(const FairseqSettings& settings, const std::string& source)
      : settings_(settings), source_(source) {}

  /// The text, or nullptr if the setting is absent or None.
  const std::string* find(const std::string& name) const;
  /// Absent, None, False, 0 or an empty string.
  bool is_off(const std::string& name) const;
  bool flag(const std::string& name, bool absent) const;
  int64_t integer(const std::string& name, int64_t absent) const;
  /// Whole or not.
  double real(const std::string& name, double absent) const;
  /// As integer, but the setting must be there.
  int64_t size(const std::string& name) const;
  [[noreturn]] void refuse(const std::string& name, const std::string& why) const;

 private:
  const FairseqSettings& settings_;
  const std::string& source_;
};

}  // namespace switchyard
