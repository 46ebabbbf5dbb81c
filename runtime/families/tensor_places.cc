#include "runtime/families/tensor_places.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/encoded_read.h"
#include "runtime/families/tensor_roles.h"

namespace switchyard {
namespace {

int64_t experts_of(const ModelConfig& config, int layer) {
  const auto kinds = config.layers.begin();
  const auto moe_layer = std::count(kinds, kinds + layer, FfnKind::kMoe);
  return config.router_of(static_cast<int>(moe_layer)).num_experts;
}

/// The shape on disk of a tensor [out, in] or [out] of each expert.
std::vector<int64_t> shape_of_all_experts(const TensorRule& rule, const std::string& name,
                                          int64_t num_experts, const std::vector<int64_t>& shape) {
  std::vector<int64_t> stored = {num_experts};
  stored.insert(stored.end(), shape.begin(), shape.end());
  if (shape.size() < 2) return stored;
  if (name.ends_with(kMxfp4CodesSuffix)) {
    stored.back() /= kMxfp4Block;
    stored.push_back(kMxfp4BlockBytes);
  } else if (rule.layout == TensorLayout::kExpertsInOut) {
    std::swap(stored[1], stored[2]);
  }
  return stored;
}

}  // namespace

const TensorRule& rule_of(const Family& family, const TensorVariant* variant,
                          const std::string& role) {
  if (variant != nullptr) {
    const auto own = variant->tensors.find(role);
    if (own != variant->tensors.end()) return own->second;
  }
  const auto found = family.tensors.find(role);
  SWITCHYARD_CHECK(found != family.tensors.end(), "family ", family.name,
                   " does not say where to find ", role);
  return found->second;
}

std::vector<TensorPlace> places_of(const HfModel& model, const TensorVariant* variant,
                                   const ExpectedTensor& expected) {
  const ModelConfig& config = model.config;
  const TensorRole role = role_of(expected.name);
  const bool is_of_heads = role.role == "head_keys" || role.role == "head_values";
  const TensorRule& rule =
      rule_of(*model.family, variant, is_of_heads ? "head_keys_and_values" : role.role);
  const std::vector<std::string>& names =
      role.kind == TensorRole::Kind::kBias ? rule.biases : rule.weights;
  SWITCHYARD_CHECK(!names.empty(), "family ", model.family->name, " names no tensor for ",
                   expected.name);
  std::vector<int64_t> shape = expected.shape;
  if (is_of_heads) shape[0] = config.num_heads * (config.latent.nope_dim + config.value_dim);
  shape[0] /= static_cast<int64_t>(names.size());
  std::vector<TensorPlace> places;
  for (const std::string& pattern : names) {
    TensorPlace place{tensor_name(pattern, role.layer, role.expert), shape, rule.layout};
    if (rule.layout != TensorLayout::kWhole) {
      place.shape = shape_of_all_experts(rule, place.name, experts_of(config, role.layer), shape);
    }
    places.push_back(std::move(place));
  }
  return places;
}

std::string mxfp4_scales_name(const std::string& codes_name) {
  return codes_name.substr(0, codes_name.size() - kMxfp4CodesSuffix.size()) + "_scales";
}

std::string fp8_scales_name(const std::string& name) { return name + "_scale_inv"; }

int64_t blocks_in(int64_t size, int64_t block) { return (size + block - 1) / block; }

}  // namespace switchyard
