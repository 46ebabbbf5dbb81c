#include "runtime/families/expert_settings.h"

#include <algorithm>
#include <set>

#include "kernels/base/error.h"
#include "runtime/families/attention_settings.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// A setting that is one number for all layers, or a list with one for each: those of the layers
/// with experts.
std::vector<int64_t> by_moe_layer(const FamilySettings& settings, std::string_view name,
                                  const ModelConfig& config) {
  if (!settings.value(name).is_array()) {
    return std::vector<int64_t>(static_cast<size_t>(config.num_moe_layers()),
                                settings.integer(name, 1, 65536));
  }
  const std::vector<int64_t> all = settings.integers(name);
  if (all.size() != config.layers.size() || std::ranges::min(all) < 1 ||
      std::ranges::max(all) > 65536) {
    settings.refuse(name, concat("expected a number from 1 to 65536, or one for each of ",
                                 config.layers.size(), " layers"));
  }
  std::vector<int64_t> mine;
  for (const int layer : config.moe_layers()) mine.push_back(all[static_cast<size_t>(layer)]);
  return mine;
}

void read_counts(const FamilySettings& settings, ModelConfig& config) {
  const std::vector<int64_t> experts = by_moe_layer(settings, "num_experts", config);
  const std::vector<int64_t> choices = by_moe_layer(settings, "top_k", config);
  config.router.num_experts = std::ranges::max(experts);
  config.router.top_k = std::ranges::max(choices);
  const bool differ = std::ranges::min(experts) != config.router.num_experts ||
                      std::ranges::min(choices) != config.router.top_k;
  for (size_t i = 0; differ && i < experts.size(); ++i) {
    config.expert_counts.push_back({experts[i], choices[i]});
  }
}

void read_moe_layers(const FamilySettings& settings, ModelConfig& config) {
  const auto num_layers = static_cast<int64_t>(config.layers.size());
  const int64_t first = settings.integer_or("moe_first_layer", 0);
  const int64_t last =
      settings.has("moe_last_layer") ? settings.integer("moe_last_layer", -1) : num_layers - 1;
  const int64_t step = settings.has("moe_step") ? settings.integer("moe_step", 1) : 1;
  const int64_t offset = settings.integer_or("moe_step_offset", 0);
  const std::vector<int64_t> dense_list = settings.integers("dense_layers");
  const std::set<int64_t> dense(dense_list.begin(), dense_list.end());
  for (int64_t layer = first; layer <= (last < 0 ? num_layers - 1 : last); ++layer) {
    if (layer >= num_layers) break;
    const bool is_moe = (layer + offset) % step == 0 && dense.count(layer) == 0;
    if (is_moe) config.layers[static_cast<size_t>(layer)] = FfnKind::kMoe;
  }
}

void read_gate(const FamilySettings& settings, ModelConfig& config) {
  RouterSettings& router = config.router;
  router.score = settings.choice<GateScore>("score", {{"softmax", GateScore::kSoftmax},
                                                      {"sigmoid", GateScore::kSigmoid},
                                                      {"logits", GateScore::kLogits}});
  router.selector = settings.choice<GateSelector>(
      "selector", {{"top_k", GateSelector::kTopK}, {"sparse_mixer", GateSelector::kSparseMixer}});
  router.norm = settings.choice<GateNorm>(
      "gate_norm",
      {{"none", GateNorm::kNone}, {"chosen", GateNorm::kChosen}, {"softmax", GateNorm::kSoftmax}});
  // DeepSeek's own code leaves a single choice as it is.
  if (router.norm == GateNorm::kChosen &&
      router.top_k < settings.integer_or("gate_norm_least_top_k", 1)) {
    router.norm = GateNorm::kNone;
  }
  router.norm_floor = static_cast<float>(settings.number_or("norm_floor", 0.0));
  router.norm_add = static_cast<float>(settings.number_or("norm_add", 0.0));
  router.jitter = static_cast<float>(settings.number_or("jitter", 0.0));
  enum class Groups { kNone, kLargest, kTopTwo };
  const auto groups = settings.choice<Groups>(
      "group_score",
      {{"none", Groups::kNone}, {"largest", Groups::kLargest}, {"top_two", Groups::kTopTwo}});
  if (groups != Groups::kNone) {
    // null: all experts are one group.
    router.num_groups = settings.has("num_groups") ? settings.integer("num_groups", 1, 65536) : 1;
    router.kept_groups =
        settings.has("kept_groups") ? settings.integer("kept_groups", 1, 65536) : 1;
    router.group_score = groups == Groups::kTopTwo ? GroupScore::kTopTwo : GroupScore::kLargest;
  }
  config.gate_network = settings.choice<GateNetwork>(
      "gate_network", {{"linear", GateNetwork::kLinear}, {"tanh_mlp", GateNetwork::kTanhMlp}});
  config.gate_bias = bias_flag(settings, "gate_bias");
  config.has_selection_bias = settings.flag("selection_bias");
}

void read_route_scales(const FamilySettings& settings, ModelConfig& config) {
  const json::value& scale = settings.value("route_scale");
  if (settings.has("weighs_experts") && !settings.flag("weighs_experts")) {
    config.router.norm = GateNorm::kOnes;
    return;
  }
  if (scale.is_null()) return;
  if (!scale.is_array()) {
    config.route_scales.assign(static_cast<size_t>(config.num_moe_layers()),
                               static_cast<float>(settings.number("route_scale")));
    return;
  }
  const json::array& list = scale.get_array();
  if (list.size() != config.layers.size()) {
    settings.refuse("route_scale", "expected one number, or one for each layer");
  }
  for (const int layer : config.moe_layers()) {
    const json::value& item = list[static_cast<size_t>(layer)];
    if (!item.is_number()) settings.refuse("route_scale", "expected numbers");
    config.route_scales.push_back(item.to_number<float>());
  }
}

/// Sizes of experts that differ, [layer][expert].
void read_expert_sizes(const FamilySettings& settings, ModelConfig& config) {
  const json::value& lists = settings.value("expert_sizes");
  const std::string expected = "expected a list for each layer, of the size of each expert";
  if (!lists.is_array() || lists.get_array().size() != config.layers.size()) {
    settings.refuse("expert_sizes", expected);
  }
  config.expert_ffn_size = 0;
  for (const int layer : config.moe_layers()) {
    const json::value& list = lists.get_array()[static_cast<size_t>(layer)];
    if (!list.is_array() ||
        static_cast<int64_t>(list.get_array().size()) != config.router.num_experts) {
      settings.refuse("expert_sizes", expected);
    }
    std::vector<int64_t>& sizes = config.expert_ffn_sizes.emplace_back();
    int64_t sum = 0;
    for (const json::value& item : list.get_array()) {
      const int64_t* size = item.if_int64();
      if (size == nullptr || *size < 1 || *size > 1 << 24) {
        settings.refuse("expert_sizes", expected);
      }
      sizes.push_back(*size);
      sum += *size;
      config.expert_ffn_size = std::max(config.expert_ffn_size, *size);
    }
    if (settings.has("expert_size_sum") && sum != settings.integer("expert_size_sum")) {
      settings.refuse("expert_sizes", concat("those of layer ", layer, " add up to ", sum,
                                             ", not to ", settings.integer("expert_size_sum")));
    }
  }
}

/// Refuses a setting that has another value than `expected`, in any layer.
void require_in_all_layers(const FamilySettings& settings, std::string_view name,
                           int64_t expected) {
  const json::value& value = settings.value(name);
  if (value.is_null()) return;
  const std::vector<int64_t> numbers =
      value.is_array() ? settings.integers(name) : std::vector<int64_t>{settings.integer(name)};
  for (const int64_t number : numbers) {
    if (number != expected) {
      settings.refuse(name, concat("only ", expected, " in every layer is supported"));
    }
  }
}

}  // namespace

void read_expert_settings(const FamilySettings& settings, ModelConfig& config) {
  if (!settings.has("num_experts")) return;
  if (settings.value("num_experts") == json::value(0)) return;
  read_moe_layers(settings, config);
  if (config.num_moe_layers() == 0) return;
  read_counts(settings, config);
  read_gate(settings, config);
  read_route_scales(settings, config);
  config.expert_bias = bias_flag(settings, "expert_bias");
  if (settings.has("expert_sizes")) {
    read_expert_sizes(settings, config);
  } else if (settings.has("expert_size_sum")) {
    const int64_t sum = settings.integer("expert_size_sum", 1);
    if (sum % config.router.num_experts != 0) {
      settings.refuse("expert_size_sum",
                      concat("is not divided by ", config.router.num_experts, " experts"));
    }
    config.expert_ffn_size = sum / config.router.num_experts;
  } else {
    config.expert_ffn_size = settings.integer("expert_size", 1, 1 << 24);
  }
  require_in_all_layers(settings, "same_as_expert_size", config.expert_ffn_size);
  require_in_all_layers(settings, "one_in_all_layers", 1);
  require_in_all_layers(settings, "same_as_head_dim", config.head_dim);
  const int64_t shared = settings.integer_or("shared_size", 0);
  const int64_t count = settings.integer_or("shared_count", 0);
  config.shared_ffn_size = shared * count;
  config.shared_gate = settings.choice<SharedExpertGate>(
      "shared_gate", {{"none", SharedExpertGate::kNone}, {"sigmoid", SharedExpertGate::kSigmoid}});
}

}  // namespace switchyard
