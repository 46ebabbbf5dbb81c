// The experts and their routers in words.
#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/inspect_parts.h"

namespace switchyard {
namespace {

const char* words_for(GateScore score) {
  switch (score) {
    case GateScore::kSoftmax:
      return "softmax over all experts";
    case GateScore::kSigmoid:
      return "sigmoid";
    case GateScore::kLogits:
      return "the logits";
  }
  return "";
}

const char* words_for(GateNorm norm) {
  switch (norm) {
    case GateNorm::kNone:
      return "the probabilities";
    case GateNorm::kChosen:
      return "divided by the sum of those chosen";
    case GateNorm::kSoftmax:
      return "softmax over those chosen";
    case GateNorm::kOnes:
      return "1 each";
  }
  return "";
}

void add_groups(const ModelConfig& config, ReportSection& section) {
  const RouterSettings& router = config.router;
  if (router.num_groups < 2) return;
  section.add_fact("expert_groups", router.num_groups);
  section.add_fact("expert_groups_kept", router.kept_groups);
  section.add_fact("expert_groups_by", router.group_score == GroupScore::kTopTwo
                                           ? "the sum of their two best experts"
                                           : "their best expert");
}

void add_router(const ModelConfig& config, ReportSection& section) {
  const RouterSettings& router = config.router;
  section.add_fact("router_scores", words_for(router.score));
  if (config.gate_network == GateNetwork::kTanhMlp) {
    section.add_fact("router_network", "two layers with tanh between");
  }
  if (config.gate_bias == HasBias::kYes) section.add_fact("router_bias", "yes");
  if (config.has_selection_bias) section.add_fact("router_selection_bias", "yes");
  add_groups(config, section);
  if (router.selector == GateSelector::kSparseMixer) {
    section.add_fact("router_selection", "sparse mixer");
    section.add_fact("router_jitter", float_value(router.jitter));
    section.add_fact("router_weights", "softmax over the experts near the best");
  } else {
    section.add_fact("router_weights", words_for(router.norm));
  }
  if (config.route_scales.empty()) return;
  const auto [least, most] = std::ranges::minmax(config.route_scales);
  if (least == most) {
    add_multiplier("router_scale", most, section);
  } else {
    section.add_fact("router_scale_least", float_value(least));
    section.add_fact("router_scale_most", float_value(most));
  }
}

void add_capacity(const CapacityRules& capacity, ReportSection& section) {
  section.add_fact("capacity_fraction",
                   ReportValue(capacity.eval_fraction, concat(capacity.eval_fraction)));
  section.add_fact("capacity_weights", capacity.norm_order == NormOrder::kAfterDropping
                                           ? "normalised after dropping"
                                           : "normalised before dropping");
  section.add_fact("capacity_order", capacity.slot_order == SlotOrder::kRows
                                         ? "in the order of the rows"
                                         : "by descending probability");
  section.add_fact("capacity_padding",
                   capacity.pads == PadRouting::kRouted ? "takes slots" : "is not routed");
}

}  // namespace

void add_multiplier(const std::string& name, float value, ReportSection& section) {
  if (value != 1.0f) section.add_fact(name, float_value(value));
}

void add_expert_facts(const ModelConfig& config, ReportSection& section) {
  if (config.num_moe_layers() == 0) {
    section.add_fact("experts", int64_t{0});
    return;
  }
  const std::vector<int> numbers = config.moe_layers();
  section.add_fact("layers_with_experts", std::vector<int64_t>(numbers.begin(), numbers.end()));
  section.add_fact("experts", config.router.num_experts);
  section.add_fact("experts_per_token", config.router.top_k);
  if (!config.expert_counts.empty()) {
    std::vector<int64_t> experts, choices;
    for (const ExpertCounts& counts : config.expert_counts) {
      experts.push_back(counts.num_experts);
      choices.push_back(counts.top_k);
    }
    section.add_fact("experts_by_layer", experts);
    section.add_fact("experts_per_token_by_layer", choices);
  }
  section.add_fact("expert_feed_forward_size", config.expert_ffn_size);
  if (!config.expert_ffn_sizes.empty()) {
    int64_t least = config.expert_ffn_size;
    for (const auto& sizes : config.expert_ffn_sizes) {
      least = std::min(least, *std::ranges::min_element(sizes));
    }
    section.add_fact("expert_feed_forward_size_least", least);
  }
  if (config.shared_ffn_size > 0) {
    section.add_fact("shared_expert_feed_forward_size", config.shared_ffn_size);
    section.add_fact("shared_expert_gate",
                     config.shared_gate == SharedExpertGate::kSigmoid ? "sigmoid" : "none");
  }
  add_router(config, section);
  if (config.family == "fairseq") add_capacity(config.capacity, section);
}

}  // namespace switchyard
