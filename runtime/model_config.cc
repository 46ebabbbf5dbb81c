#include "runtime/model_config.h"

#include "kernels/quantization.h"

namespace switchyard {
namespace {

void replace(std::string& text, const std::string& what, const std::string& with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), with);
    at += with.size();
  }
}

}  // namespace

std::string tensor_name(const std::string& name_template, int layer, int64_t expert) {
  std::string name = name_template;
  replace(name, "{layer}", std::to_string(layer));
  replace(name, "{expert}", std::to_string(expert));
  return name;
}

std::vector<int> ModelConfig::moe_layers() const {
  std::vector<int> numbers;
  for (int layer = 0; layer < num_layers(); ++layer) {
    if (layers[static_cast<size_t>(layer)] == FfnKind::kMoe) numbers.push_back(layer);
  }
  return numbers;
}

int64_t ModelConfig::expert_size(int moe_layer, int64_t expert) const {
  if (expert_ffn_sizes.empty()) return expert_ffn_size;
  return expert_ffn_sizes[static_cast<size_t>(moe_layer)][static_cast<size_t>(expert)];
}

RouterSettings ModelConfig::router_of(int moe_layer) const {
  RouterSettings result = router;
  if (!expert_counts.empty()) {
    result.num_experts = expert_counts[static_cast<size_t>(moe_layer)].num_experts;
    result.top_k = expert_counts[static_cast<size_t>(moe_layer)].top_k;
  }
  return result;
}

std::string weight_type_text(const ModelConfig& config) {
  std::string text = config.weight_dtype ? std::string(name_of(*config.weight_dtype)) : "mixed";
  const auto& [experts, attention] = config.quantization;
  if (experts.is_on()) text += "+experts:" + name_of(experts);
  if (attention.is_on()) text += "+attention:" + name_of(attention);
  return text;
}

KeyValueSpec ModelConfig::key_values() const {
  if (attention == AttentionKind::kLatent && attention_form == AttentionForm::kAbsorbed) {
    return {1, latent.rank + latent.rope_dim, latent.rank, ValueSource::kKeyPrefix};
  }
  return {num_kv_heads, head_dim, value_dim, ValueSource::kOwn};
}

namespace {

class Checker {
 public:
  Checker(const ModelConfig& config, const std::string& source)
      : config_(config), source_(source) {}

  void run() const {
    check_sizes();
    check_attention();
    check_positions();
    check_quantization(config_.quantization.attention, "attention");
    check_quantization(config_.quantization.experts, "the experts");
    if (config_.num_moe_layers() == 0) return;
    positive(config_.expert_ffn_size, "the experts' feed-forward size", int64_t{1} << 24);
    require(config_.shared_ffn_size >= 0 && config_.shared_ffn_size <= int64_t{1} << 24,
            concat("the shared expert's feed-forward size is ", config_.shared_ffn_size));
    length(config_.expert_counts, config_.num_moe_layers(), "numbers of experts");
    for (int layer = 0; layer < (config_.expert_counts.empty() ? 1 : config_.num_moe_layers());
         ++layer) {
      check_router(config_.router_of(layer));
    }
    check_expert_lists();
  }

 private:
  void require(bool condition, const std::string& problem) const {
    if (!condition) fail_input(source_, ": ", problem);
  }
  void positive(int64_t value, const char* what, int64_t limit) const {
    require(value > 0 && value <= limit, concat(what, " is ", value, "; expected 1 to ", limit));
  }

  /// Of a list that is empty or has an item for each.
  template <typename Item>
  void length(const std::vector<Item>& list, int64_t expected, const char* what) const {
    require(list.empty() || static_cast<int64_t>(list.size()) == expected,
            concat("there are ", list.size(), " ", what, "; expected ", expected));
  }

  void check_sizes() const;
  void check_quantization(const GroupQuantization& form, const char* what) const;
  void check_expert_lists() const;
  void check_attention() const;
  void check_positions() const;
  void check_router(const RouterSettings& router) const;

  const ModelConfig& config_;
  const std::string& source_;
};

void Checker::check_sizes() const {
  positive(config_.hidden_size, "the model width", int64_t{1} << 20);
  positive(config_.vocab_size, "the vocabulary", int64_t{1} << 30);
  positive(config_.num_layers(), "the number of layers", 65536);
  if (config_.num_moe_layers() < config_.num_layers()) {
    positive(config_.ffn_size, "the feed-forward size", int64_t{1} << 24);
  }
  require(config_.start_token >= ModelConfig::kNoToken && config_.start_token < config_.vocab_size,
          concat("the start token ", config_.start_token, " is outside the vocabulary of ",
                 config_.vocab_size));
}

void Checker::check_quantization(const GroupQuantization& form, const char* what) const {
  const bool is_known = form.bits == 8 || (form.bits >= 2 && form.bits <= 4);
  const bool is_group = form.group >= 8 && form.group % 8 == 0 && form.group <= int64_t{1} << 20;
  require(!form.is_given() && (form.is_on() ? is_known && is_group : form.group == 0),
          concat(what, ": quantised to ", form.bits, " bits in groups of ", form.group,
                 "; expected 8, 4, 3 or 2 bits and a multiple of 8 up to 2^20"));
}

void Checker::check_expert_lists() const {
  length(config_.route_scales, config_.num_moe_layers(), "factors of router weights");
  length(config_.expert_ffn_sizes, config_.num_moe_layers(), "lists of experts' sizes");
  for (size_t layer = 0; layer < config_.expert_ffn_sizes.size(); ++layer) {
    const std::vector<int64_t>& sizes = config_.expert_ffn_sizes[layer];
    const RouterSettings router = config_.router_of(static_cast<int>(layer));
    require(static_cast<int64_t>(sizes.size()) == router.num_experts,
            concat("there are ", sizes.size(), " sizes of experts; expected ", router.num_experts));
    for (const int64_t size : sizes) {
      positive(size, "an expert's feed-forward size", config_.expert_ffn_size);
    }
  }
}

void Checker::check_attention() const {
  positive(config_.num_heads, "the number of attention heads", 65536);
  positive(config_.num_kv_heads, "the number of key/value heads", 65536);
  positive(config_.head_dim, "the head size", 65536);
  positive(config_.value_dim, "the size of a head's values", 65536);
  require(config_.num_heads % config_.num_kv_heads == 0,
          concat(config_.num_heads, " attention heads are not divided by ", config_.num_kv_heads,
                 " key/value heads"));
  length(config_.windows, config_.num_layers(), "attention windows");
  for (const int64_t window : config_.windows) {
    require(window >= 0 && window <= int64_t{1} << 30,
            concat("the attention window is ", window, "; expected 1 or more"));
  }
  if (config_.attention != AttentionKind::kLatent) return;
  const LatentSizes& latent = config_.latent;
  require(latent.query_rank >= 0 && latent.query_rank <= 65536,
          concat("the rank of the query latent is ", latent.query_rank));
  positive(latent.rank, "the rank of the key/value latent (kv_lora_rank)", 65536);
  positive(latent.nope_dim, "the part of a head without positions (qk_nope_head_dim)", 65536);
  positive(latent.rope_dim, "the rotary part of a head (qk_rope_head_dim)", 65536);
  require(config_.num_kv_heads == config_.num_heads,
          concat("latent attention has as many key/value heads as heads, not ",
                 config_.num_kv_heads, " for ", config_.num_heads));
}

void Checker::check_positions() const {
  positive(config_.max_positions, "the number of positions", int64_t{1} << 30);
  positive(config_.trained_positions, "the number of positions", int64_t{1} << 30);
  require(config_.position_offset >= 0 && config_.position_offset <= int64_t{1} << 30,
          concat("positions begin in row ", config_.position_offset, " of their table"));
  // The frequencies are spread over half the width less one.
  require(config_.position_kind != PositionKind::kSinusoidal || config_.hidden_size >= 4,
          concat("sinusoidal positions need a width of at least 4, not ", config_.hidden_size));
  if (config_.position_kind != PositionKind::kRotary) return;
  const RopeConfig& rope = config_.rope;
  require(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= config_.head_dim,
          concat("rotary positions turn ", rope.rotary_dim, " entries of a head of ",
                 config_.head_dim, "; expected an even number up to that"));
  length(rope.short_factors, rope.rotary_dim / 2, "short rope factors");
  length(rope.long_factors, rope.rotary_dim / 2, "long rope factors");
  require(rope.scaling != RopeScaling::kLongRope || !rope.short_factors.empty(),
          "longrope has no factors");
  require(rope.theta > 1.0 && rope.factor > 0.0, "rope_theta or the rope factor is not positive");
}

void Checker::check_router(const RouterSettings& router) const {
  positive(router.num_experts, "the number of experts", 65536);
  require(router.top_k >= 1 && router.top_k <= router.num_experts,
          concat("a token goes to ", router.top_k, " experts, but there are ", router.num_experts));
  require(router.top_k <= kMaxTopK, concat("a token goes to ", router.top_k, " experts; at most ",
                                           kMaxTopK, " are supported"));
  require(router.num_groups >= 1 && router.num_experts % router.num_groups == 0,
          concat(router.num_experts, " experts are not divided by ", router.num_groups,
                 " groups (n_group)"));
  require(router.kept_groups >= 1 && router.kept_groups <= router.num_groups,
          concat(router.kept_groups, " groups of experts are kept (topk_group), but there are ",
                 router.num_groups));
  require(router.top_k <= router.num_experts / router.num_groups * router.kept_groups,
          concat("a token goes to ", router.top_k, " experts, but the ", router.kept_groups,
                 " groups that are kept have fewer"));
  require(router.selector != GateSelector::kSparseMixer || router.top_k == 2,
          concat("the sparse mixer chooses 2 experts, not ", router.top_k));
}

}  // namespace

void validate(const ModelConfig& config, const std::string& source) {
  Checker(config, source).run();
}

}  // namespace switchyard
