#include "runtime/placement_file.h"

#include <boost/json.hpp>
#include <fstream>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// A placement file is a few numbers an expert: 64 MiB holds more than 65,536 experts of 100
/// layers.
constexpr size_t kMaxBytes = size_t{64} << 20;

json::object parse_object(const PlacementText& file) {
  json::error_code error;
  json::value value = json::parse(file.text, error);
  if (error) fail_input(file.path, ": not valid JSON: ", error.message());
  if (!value.is_object()) {
    fail_input(file.path, R"(: expected {"experts": [...]} or {"layers": {...}})");
  }
  return std::move(value.as_object());
}

std::vector<std::vector<int>> read_experts(const json::value& value, const std::string& where) {
  const auto fail = [&] {
    fail_input(where, ": expected a list with a list of ranks for each expert, as [[0], [1]]");
  };
  if (!value.is_array()) fail();
  std::vector<std::vector<int>> experts;
  for (const json::value& ranks : value.get_array()) {
    if (!ranks.is_array()) fail();
    std::vector<int>& of_expert = experts.emplace_back();
    for (const json::value& rank : ranks.get_array()) {
      if (!rank.is_int64() || rank.get_int64() < 0 || rank.get_int64() > 1'000'000) fail();
      of_expert.push_back(static_cast<int>(rank.get_int64()));
    }
  }
  return experts;
}

LayerPlacement make_layer(const json::value& value, const std::string& where, int64_t num_experts,
                          int num_ranks) {
  const std::vector<std::vector<int>> experts = read_experts(value, where);
  if (static_cast<int64_t>(experts.size()) != num_experts) {
    fail_input(where, ": places ", experts.size(), " experts; the model has ", num_experts);
  }
  try {
    return LayerPlacement(experts, num_ranks);
  } catch (const Error& error) {
    fail_input(where, ": ", error.what());
  }
}

}  // namespace

PlacementText read_placement_file(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_input(path, ": cannot be opened; --placement names a JSON file");
  std::string text(kMaxBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (file.bad()) fail_input(path, ": cannot be read");
  if (text.size() > kMaxBytes) fail_input(path, ": larger than 64 MiB");
  return {path, text};
}

std::vector<LayerPlacement> make_placements(const PlacementText& placement,
                                            const ModelConfig& config, int num_ranks) {
  const std::string& path = placement.path;
  const std::vector<int> layers = config.moe_layers();
  std::vector<LayerPlacement> placements;
  const auto experts_of = [&config](size_t i) {
    return config.router_of(static_cast<int>(i)).num_experts;
  };
  if (path.empty()) {
    for (size_t i = 0; i < layers.size(); ++i) {
      placements.push_back(contiguous_placement(experts_of(i), num_ranks));
    }
    return placements;
  }
  const json::object file = parse_object(placement);
  if (const json::value* experts = file.if_contains("experts")) {
    if (file.size() != 1) fail_input(path, R"(: "experts" stands alone or not at all)");
    for (size_t i = 0; i < layers.size(); ++i) {
      placements.push_back(make_layer(*experts, path + R"(: "experts")", experts_of(i), num_ranks));
    }
    return placements;
  }
  const json::value* by_layer = file.if_contains("layers");
  if (by_layer == nullptr || !by_layer->is_object() || file.size() != 1) {
    fail_input(path, R"(: expected {"experts": [...]} or {"layers": {...}})");
  }
  const json::object& object = by_layer->get_object();
  for (size_t i = 0; i < layers.size(); ++i) {
    const json::value* value = object.if_contains(std::to_string(layers[i]));
    if (value == nullptr) fail_input(path, ": MoE layer ", layers[i], " of the model is missing");
    placements.push_back(
        make_layer(*value, concat(path, ": layer ", layers[i]), experts_of(i), num_ranks));
  }
  if (object.size() != layers.size()) {
    fail_input(path, ": lists ", object.size(), " layers; the model has ", layers.size(),
               " MoE layers");
  }
  return placements;
}

}  // namespace switchyard
