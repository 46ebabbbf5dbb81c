#include "runtime/hf_preset.h"

#include <algorithm>
#include <boost/json.hpp>
#include <set>
#include <utility>

#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "kernels/base/nearest_name.h"
#include "kernels/base/value_text.h"
#include "runtime/checkpoint/untrusted_json.h"
#include "runtime/families/family_settings.h"
#include "runtime/families/stored_tensors.h"
#include "runtime/hf_config_editor.h"
#include "runtime/requests/json_text.h"
#include "runtime/yaml_text.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// The names of tensors are held in memory.
constexpr int64_t kMostExperts = int64_t{1} << 22;  // of all layers together

/// torch's names.
const Choices<DType>& torch_types() {
  static const Choices<DType> kTypes = {
      {"float32", DType::kF32}, {"float16", DType::kF16}, {"bfloat16", DType::kBF16}};
  return kTypes;
}

void append_pretty(const json::value& value, const std::string& indent, std::string& out) {
  const std::string inner = indent + "  ";
  std::string separator = "\n";
  if (const json::object* object = value.if_object(); object != nullptr && !object->empty()) {
    out += '{';
    for (const auto& item : *object) {
      out += std::exchange(separator, ",\n") + inner;
      append_json_string(item.key(), out);
      out += ": ";
      append_pretty(item.value(), inner, out);
    }
    out += "\n" + indent + "}";
  } else if (const json::array* array = value.if_array(); array != nullptr && !array->empty()) {
    out += '[';
    for (const json::value& item : *array) {
      out += std::exchange(separator, ",\n") + inner;
      append_pretty(item, inner, out);
    }
    out += "\n" + indent + "]";
  } else if (value.is_double()) {
    append_json_number(value.get_double(), out);
  } else {
    out += json::serialize(value);
  }
}

std::string pretty(const json::value& value) {
  std::string text;
  append_pretty(value, "", text);
  return text + "\n";
}

class HfPresetReader {
 public:
  HfPresetReader(const std::string& text, const std::string& name, const HfPresetChanges& changes)
      : root_(parse_yaml(text, name)), name_(name), changes_(changes) {}

  HfPreset read() {
    require_known_keys();
    config_ = section("config");
    if (config_.empty()) fail_usage(name_, ": the key 'config' is missing; it is the config.json");
    source_ = concat(yaml_place(name_, root_["config"].Mark()), ": config");
    read_layout();
    merge_json();
    change_sizes();
    change_type();
    preset_.config_text = pretty(config_);
    preset_.generation_text = generation();
    preset_.model = read_hf_model(preset_.config_text, preset_.generation_text, source_);
    require_experts();
    variant_named(*preset_.model.family, preset_.variant, name_);
    return std::move(preset_);
  }

 private:
  void require_known_keys() const {
    const std::vector<std::string> known = {"family", "config", "generation", "variant",
                                            "shard_size"};
    std::set<std::string> seen;
    for (const auto& entry : root_) {
      const std::string key = entry.first.Scalar();
      if (!seen.insert(key).second) {
        fail_usage(yaml_place(name_, entry.first.Mark()), ": '", key, "' is given twice");
      }
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      fail_usage(yaml_place(name_, entry.first.Mark()), ": unknown key '", key, "'",
                 suggestion(key, known), "; configs/README.md lists the keys of a model");
    }
  }

  /// A key whose value is a mapping; without entries where it is not there.
  json::object section(const char* key) const {
    const YAML::Node node = root_[key];
    if (!node) return {};
    if (!node.IsMap()) {
      fail_usage(yaml_place(name_, node.Mark()), ": ", key,
                 ": expected 'key: value' lines below it");
    }
    return json_of_yaml(node).get_object();
  }

  void read_layout() {
    if (const YAML::Node node = root_["variant"]) preset_.variant = node.Scalar();
    if (const YAML::Node node = root_["shard_size"]) {
      const auto bytes = parse_byte_size(node.Scalar());
      if (!bytes || *bytes < 1) {
        fail_usage(yaml_place(name_, node.Mark()), ": shard_size is '", node.Scalar(),
                   "'; expected bytes, as 5000000000 or 4GiB");
      }
      preset_.shard_bytes = *bytes;
    }
    if (changes_.shard_bytes) preset_.shard_bytes = *changes_.shard_bytes;
  }

  void merge_json() {
    if (changes_.config_json.empty()) return;
    const json::value more = parse_untrusted_json(changes_.config_json, "--set");
    if (!more.is_object()) fail_usage("--set: expected a JSON object, as '{\"hidden_size\": 64}'");
    for (const auto& item : more.get_object()) {
      if (item.value().is_null()) {
        config_.stable_erase(item.key());
      } else {
        config_[item.key()] = item.value();
      }
    }
  }

  const Family& family() const {
    const json::value* type = config_.if_contains("model_type");
    if (type == nullptr || !type->is_string()) {
      fail_usage(source_, " has no model_type, which names the family of the model");
    }
    return family_of(std::string(type->get_string()), source_);
  }

  void change_sizes() {
    HfConfigEditor editor(family(), config_, source_, preset_.notes);
    if (changes_.layers) editor.set_layers(*changes_.layers);
    if (changes_.experts) editor.set_experts(*changes_.experts);
  }

  void change_type() {
    const char* key = config_.contains("dtype") ? "dtype" : "torch_dtype";
    if (changes_.dtype) {
      for (const auto& [text, type] : torch_types()) {
        if (type == *changes_.dtype) config_[key] = text;
      }
      if (config_.contains("quantization_config")) {
        config_.stable_erase("quantization_config");
        preset_.variant.clear();
      }
    }
    const json::value* type = config_.if_contains(key);
    const std::string text = type == nullptr ? "" : plain_text(*type);
    try {
      preset_.dtype = parse_choice(text, torch_types());
    } catch (const BadValue& bad) {
      fail_usage(source_, ": ", key, " is '", text, "'; expected ", bad.what());
    }
  }

  void require_experts() const {
    const ModelConfig& config = preset_.model.config;
    int64_t experts = 0;
    for (int i = 0; i < config.num_moe_layers(); ++i) experts += config.router_of(i).num_experts;
    if (experts > kMostExperts) {
      fail_usage(source_, ": all layers together have ", experts, " experts; expected at most ",
                 kMostExperts);
    }
    const FamilySettings settings(family(), config_, source_);
    const bool is_dense =
        !settings.has("num_experts") || settings.value("num_experts") == json::value(0);
    if (changes_.layers && experts == 0 && !is_dense) {
      fail_usage("--layers is '", *changes_.layers, "'; by ", source_,
                 " none of so few has experts");
    }
  }

  /// The preset's own, or what config.json says about ends.
  std::string generation() const {
    json::object generation = section("generation");
    if (generation.empty()) {
      for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
        const json::value* value = config_.if_contains(key);
        if (value != nullptr && !value->is_null()) generation[key] = *value;
      }
    }
    return generation.empty() ? "" : pretty(generation);
  }

  const YAML::Node root_;
  const std::string& name_;
  const HfPresetChanges& changes_;
  json::object config_;
  std::string source_;
  HfPreset preset_;
};

}  // namespace

bool is_hf_preset(const std::string& text, const std::string& name) {
  const YAML::Node root = parse_yaml(text, name);
  if (!root.IsMap()) return false;
  const YAML::Node family = root["family"];
  return family && family.IsScalar() && family.Scalar() == "huggingface";
}

HfPreset parse_hf_preset(const std::string& text, const std::string& name,
                         const HfPresetChanges& changes) {
  return HfPresetReader(text, name, changes).read();
}

}  // namespace switchyard
