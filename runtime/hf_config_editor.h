// Other numbers of layers and experts for a config.json.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/families/family.h"

namespace switchyard {

/// Changes a config.json by the settings that its family's description reads from it.
class HfConfigEditor {
 public:
  /// All must outlive the object. `source` names the file in messages, `notes` gets a line for
  /// every change that follows from another.
  HfConfigEditor(const Family& family, boost::json::object& config, const std::string& source,
                 std::vector<std::string>& notes)
      : family_(family), config_(config), source_(source), notes_(notes) {}

  /// Lists by layer are cut, or repeated; lists of layers lose those that are gone; the first layer
  /// with experts comes before the last.
  void set_layers(int64_t layers);

  /// Experts keep their size; groups, kept groups and experts per token become fewer where there
  /// are too few experts for them. Throws Error(kUsage) for a model without experts.
  void set_experts(int64_t experts);

 private:
  /// The key that a setting is read from, or would be; empty for one that config.json cannot give.
  std::string key_of(std::string_view setting) const;
  /// A setting's whole number; `absent` where it has none.
  int64_t number(std::string_view setting, int64_t absent) const;
  /// Lowers a setting that is larger.
  void limit(std::string_view setting, int64_t most);
  void set(std::string_view setting, int64_t value);
  void resize_lists(int64_t old_layers, int64_t layers);
  void drop_layers(int64_t layers);
  void set_expert_sizes(int64_t old_experts, int64_t experts);
  void limit_groups(int64_t experts);

  const Family& family_;
  boost::json::object& config_;
  const std::string& source_;
  std::vector<std::string>& notes_;
};

}  // namespace switchyard
