// Reading the descriptions of families.
#include "kernels/base/error.h"
#include "runtime/families/family.h"
#include "runtime/yaml_text.h"

namespace switchyard {
namespace {

namespace json = boost::json;

class Parser {
 public:
  Parser(std::string_view name, std::string_view text) : name_(name) {
    root_ = YAML::Load(std::string(text));
    SWITCHYARD_CHECK(root_.IsMap(), name_, ": expected a mapping");
  }

  Family parse(Family family) {
    family.name = name_;
    family.model_types = texts(root_["model_types"]);
    for (const auto& item : root_) {
      const auto key = item.first.as<std::string>();
      const YAML::Node& node = item.second;
      if (key == "settings") {
        for (const auto& entry : node) {
          family.settings[entry.first.as<std::string>()] = setting(entry.second);
        }
      } else if (key == "requirements") {
        for (const YAML::Node& entry : node) require(requirement(entry), family.requirements);
      } else if (key == "tensors") {
        read_tensors(node, family.tensors);
      } else if (key == "variants") {
        read_variants(node, family.variants);
      } else if (key == "ignored_keys") {
        append(texts(node), family.ignored_keys);
      } else if (key == "ignored_tensors") {
        append(texts(node), family.ignored_tensors);
      } else if (key == "refused_types") {
        family.refused_types = texts(node);
      } else if (key == "refusal") {
        family.refusal = node.as<std::string>();
      } else {
        SWITCHYARD_CHECK(key == "base" || key == "model_types", name_, ": unknown key ", key);
      }
    }
    return family;
  }

  std::string base() const {
    return root_["base"] ? root_["base"].as<std::string>() : std::string();
  }

 private:
  static void append(const std::vector<std::string>& more, std::vector<std::string>& to) {
    to.insert(to.end(), more.begin(), more.end());
  }

  static std::vector<std::string> texts(const YAML::Node& node) {
    if (!node) return {};
    if (node.IsScalar()) return {node.Scalar()};
    std::vector<std::string> result;
    for (const YAML::Node& item : node) result.push_back(item.Scalar());
    return result;
  }

  SettingRule setting(const YAML::Node& node) const {
    SettingRule rule;
    if (!node.IsMap()) {
      rule.value = json_of_yaml(node);
      return rule;
    }
    for (const auto& item : node) {
      const auto key = item.first.as<std::string>();
      if (key == "key") {
        rule.keys = texts(item.second);
      } else if (key == "default") {
        rule.value = json_of_yaml(item.second);
      } else if (key == "meanings") {
        for (const auto& meaning : item.second) {
          rule.meanings[meaning.first.Scalar()] = json_of_yaml(meaning.second);
        }
      } else {
        SWITCHYARD_CHECK(false, name_, ": unknown key ", key, " of a setting");
      }
    }
    return rule;
  }

  static Requirement requirement(const YAML::Node& node) {
    Requirement rule;
    rule.key = node["key"].as<std::string>();
    rule.values = texts(node["values"]);
    rule.absent = node["default"] ? json_of_yaml(node["default"]) : json::value();
    if (!node["when"]) return rule;
    rule.when_key = node["when"]["key"].as<std::string>();
    rule.when_values = texts(node["when"]["values"]);
    return rule;
  }

  /// Adds a requirement, or puts it in the place of the one on the same key.
  static void require(const Requirement& more, std::vector<Requirement>& to) {
    std::erase_if(to, [&](const Requirement& old) { return old.key == more.key; });
    to.push_back(more);
  }

  void read_tensors(const YAML::Node& node, std::map<std::string, TensorRule>& tensors) const {
    for (const auto& item : node) tensors[item.first.as<std::string>()] = tensor(item.second);
  }

  /// NAME or a list of NAMEs: modules, whose tensors are NAME.weight and NAME.bias. A mapping names
  /// tensors in full.
  TensorRule tensor(const YAML::Node& node) const {
    TensorRule rule;
    if (!node.IsMap()) {
      for (const std::string& module : texts(node)) {
        rule.weights.push_back(module + ".weight");
        rule.biases.push_back(module + ".bias");
      }
      return rule;
    }
    for (const auto& item : node) {
      const auto key = item.first.as<std::string>();
      if (key == "weight") {
        rule.weights = texts(item.second);
      } else if (key == "bias") {
        rule.biases = texts(item.second);
      } else if (key == "layout") {
        const std::string layout = item.second.Scalar();
        SWITCHYARD_CHECK(layout == "experts_out_in" || layout == "experts_in_out", name_, layout);
        rule.layout =
            layout == "experts_out_in" ? TensorLayout::kExpertsOutIn : TensorLayout::kExpertsInOut;
      } else {
        SWITCHYARD_CHECK(false, name_, ": unknown key ", key, " of a tensor");
      }
    }
    return rule;
  }

  void read_variants(const YAML::Node& node, std::vector<TensorVariant>& variants) const {
    variants.clear();
    for (const auto& item : node) {
      TensorVariant& variant = variants.emplace_back();
      variant.name = item.first.as<std::string>();
      read_tensors(item.second, variant.tensors);
    }
  }

  std::string name_;
  YAML::Node root_;
};

}  // namespace

Family parse_family(std::string_view name, std::string_view text, const Family* base) {
  return Parser(name, text).parse(base == nullptr ? Family() : *base);
}

std::string base_of(std::string_view name, std::string_view text) {
  return Parser(name, text).base();
}

}  // namespace switchyard
