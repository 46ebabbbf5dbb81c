#include "runtime/hf_config_editor.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/families/family_settings.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// The first `size` items of the list repeated without end.
json::array repeated(const json::array& list, int64_t size) {
  json::array result;
  for (size_t i = 0; i < static_cast<size_t>(size) && !list.empty(); ++i) {
    result.push_back(list[i % list.size()]);
  }
  return result;
}

}  // namespace

std::string HfConfigEditor::key_of(std::string_view setting) const {
  const auto rule = family_.settings.find(std::string(setting));
  if (rule == family_.settings.end() || rule->second.keys.empty()) return {};
  for (const std::string& key : rule->second.keys) {
    if (config_.contains(key)) return key;
  }
  return rule->second.keys.front();
}

int64_t HfConfigEditor::number(std::string_view setting, int64_t absent) const {
  const FamilySettings settings(family_, config_, source_);
  const json::value& value = settings.value(setting);
  if (value.is_array() && !value.get_array().empty()) {
    const json::value& first = value.get_array().front();
    return first.is_int64() ? first.get_int64() : absent;
  }
  return value.is_int64() ? value.get_int64() : absent;
}

void HfConfigEditor::set(std::string_view setting, int64_t value) {
  const std::string key = key_of(setting);
  if (key.empty()) return;
  json::value& entry = config_[key];
  const int64_t* old = entry.if_int64();
  if (old != nullptr && *old != value) {
    notes_.push_back(concat("so ", key, " is ", value, " instead of ", *old));
  }
  if (entry.is_array()) {
    for (json::value& item : entry.get_array()) item = value;
  } else {
    entry = value;
  }
}

void HfConfigEditor::limit(std::string_view setting, int64_t most) {
  if (number(setting, most) > most) set(setting, most);
}

void HfConfigEditor::resize_lists(int64_t old_layers, int64_t layers) {
  for (const char* setting : {"window_layer_types", "route_scale", "expert_sizes", "num_experts",
                              "top_k", "expert_size", "shared_size", "shared_count"}) {
    json::value* list = config_.if_contains(key_of(setting));
    if (list == nullptr || !list->is_array()) continue;
    if (static_cast<int64_t>(list->get_array().size()) != old_layers) continue;
    *list = repeated(list->get_array(), layers);
  }
}

void HfConfigEditor::drop_layers(int64_t layers) {
  json::value* list = config_.if_contains(key_of("dense_layers"));
  if (list == nullptr || !list->is_array()) return;
  json::array kept;
  for (const json::value& item : list->get_array()) {
    if (!item.is_int64() || item.get_int64() < layers) kept.push_back(item);
  }
  *list = kept;
}

void HfConfigEditor::set_layers(int64_t layers) {
  const int64_t old_layers = number("num_layers", 0);
  resize_lists(old_layers, layers);
  drop_layers(layers);
  if (number("moe_first_layer", 0) < old_layers) limit("moe_first_layer", layers - 1);
  limit("moe_last_layer", layers - 1);
  config_[key_of("num_layers")] = layers;
}

void HfConfigEditor::set_expert_sizes(int64_t old_experts, int64_t experts) {
  const std::string sum_key = key_of("expert_size_sum");
  if (sum_key.empty()) return;
  const int64_t sum = number("expert_size_sum", 0);
  config_[sum_key] = sum / old_experts * experts;
  notes_.push_back(
      concat("so ", sum_key, " is ", sum / old_experts * experts, " instead of ", sum));
  json::value* lists = config_.if_contains(key_of("expert_sizes"));
  if (lists == nullptr || !lists->is_array()) return;
  for (json::value& list : lists->get_array()) {
    if (list.is_array()) list = repeated(list.get_array(), experts);
  }
}

void HfConfigEditor::limit_groups(int64_t experts) {
  const FamilySettings settings(family_, config_, source_);
  const json::value& kind = settings.value("group_score");
  if (kind.is_null() || kind == json::value("none") || !settings.has("num_groups")) {
    return limit("top_k", experts);
  }
  const int64_t least = kind == json::value("top_two") ? 2 : 1;  // experts of a group
  const int64_t old_groups = number("num_groups", 1);
  const int64_t old_kept = number("kept_groups", 1);
  int64_t groups = std::max<int64_t>(1, old_groups);
  while (groups > 1 && (experts % groups != 0 || experts / groups < least)) --groups;
  // The same share of the groups, rounded up.
  const int64_t kept = std::clamp<int64_t>(
      (old_kept * groups + old_groups - 1) / std::max<int64_t>(1, old_groups), 1, groups);
  set("num_groups", groups);
  set("kept_groups", kept);
  limit("top_k", experts / groups * kept);
}

void HfConfigEditor::set_experts(int64_t experts) {
  const std::string key = key_of("num_experts");
  const int64_t old_experts = key.empty() ? 0 : number("num_experts", 0);
  if (old_experts == 0) fail_usage("--experts: ", source_, " is a model without experts");
  set_expert_sizes(old_experts, experts);
  json::value& entry = config_[key];
  if (entry.is_array()) {
    for (json::value& item : entry.get_array()) item = experts;
  } else {
    entry = experts;
  }
  limit_groups(experts);
}

}  // namespace switchyard
