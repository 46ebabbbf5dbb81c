#include "runtime/families/tensor_roles.h"

#include <charconv>
#include <map>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

struct Role {
  std::string_view name;
  std::string TensorNames::*pattern;
  RoleLayers layers;
};

constexpr Role kRoles[] = {
    {"embedding", &TensorNames::embedding, RoleLayers::kAll},
    {"attention_norm", &TensorNames::attention_norm, RoleLayers::kAll},
    {"query", &TensorNames::query, RoleLayers::kAll},
    {"key", &TensorNames::key, RoleLayers::kAll},
    {"value", &TensorNames::value, RoleLayers::kAll},
    {"attention_output", &TensorNames::attention_output, RoleLayers::kAll},
    {"query_norm", &TensorNames::query_norm, RoleLayers::kAll},
    {"key_norm", &TensorNames::key_norm, RoleLayers::kAll},
    {"sinks", &TensorNames::sinks, RoleLayers::kAll},
    {"query_latent", &TensorNames::query_latent, RoleLayers::kAll},
    {"query_latent_norm", &TensorNames::query_latent_norm, RoleLayers::kAll},
    {"latent", &TensorNames::latent, RoleLayers::kAll},
    {"latent_norm", &TensorNames::latent_norm, RoleLayers::kAll},
    {"head_keys", &TensorNames::head_keys, RoleLayers::kAll},
    {"head_values", &TensorNames::head_values, RoleLayers::kAll},
    {"ffn_norm", &TensorNames::ffn_norm, RoleLayers::kAll},
    {"ffn_up", &TensorNames::ffn_up, RoleLayers::kDense},
    {"ffn_down", &TensorNames::ffn_down, RoleLayers::kDense},
    {"gate", &TensorNames::gate, RoleLayers::kMoe},
    {"gate_inner", &TensorNames::gate_inner, RoleLayers::kMoe},
    {"selection_bias", &TensorNames::selection_bias, RoleLayers::kMoe},
    {"expert_up", &TensorNames::expert_up, RoleLayers::kMoe},
    {"expert_down", &TensorNames::expert_down, RoleLayers::kMoe},
    {"shared_up", &TensorNames::shared_up, RoleLayers::kMoe},
    {"shared_down", &TensorNames::shared_down, RoleLayers::kMoe},
    {"shared_gate", &TensorNames::shared_gate, RoleLayers::kMoe},
    {"final_norm", &TensorNames::final_norm, RoleLayers::kAll},
    {"output", &TensorNames::output, RoleLayers::kAll},
};

/// Replaces the number behind `before` by `placeholder` and returns it; 0 where there is none.
int64_t take_number(std::string& name, std::string_view before, std::string_view placeholder) {
  const size_t at = name.find(before);
  if (at == std::string::npos) return 0;
  const char* begin = name.data() + at + before.size();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(begin, name.data() + name.size(), number);
  SWITCHYARD_CHECK(error == std::errc(), name);
  name.replace(at + before.size(), static_cast<size_t>(end - begin), placeholder);
  return number;
}

const std::map<std::string, const Role*>& roles_by_pattern() {
  static const auto kByPattern = [] {
    const TensorNames names;
    std::map<std::string, const Role*> all;
    for (const Role& role : kRoles) all[names.*role.pattern] = &role;
    return all;
  }();
  return kByPattern;
}

}  // namespace

TensorRole role_of(std::string_view full_name) {
  TensorRole result;
  std::string name(full_name);
  if (name.ends_with(".weight")) {
    result.kind = TensorRole::Kind::kWeight;
    name.resize(name.size() - 7);
  } else if (name.ends_with(".bias")) {
    result.kind = TensorRole::Kind::kBias;
    name.resize(name.size() - 5);
  }
  result.layer = static_cast<int>(take_number(name, "layers.", "{layer}"));
  result.expert = take_number(name, ".experts.", "{expert}");
  const auto found = roles_by_pattern().find(name);
  SWITCHYARD_CHECK(found != roles_by_pattern().end(), full_name);
  result.role = found->second->name;
  return result;
}

RoleLayers layers_of_role(std::string_view role) {
  for (const Role& known : kRoles) {
    if (known.name == role) return known.layers;
  }
  return RoleLayers::kAll;
}

}  // namespace switchyard
