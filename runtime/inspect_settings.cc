// The model's settings in words. What a model has not is left out.
#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/inspect_parts.h"

namespace switchyard {
namespace {

const char* words_for(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return "none";
    case Activation::kRelu:
      return "relu";
    case Activation::kGelu:
      return "gelu (exact)";
    case Activation::kGeluTanh:
      return "gelu (tanh form)";
    case Activation::kSilu:
      return "silu";
    case Activation::kTanh:
      return "tanh";
  }
  return "";
}

const char* words_for(GluLayout layout) {
  switch (layout) {
    case GluLayout::kNone:
      return "no";
    case GluLayout::kHalves:
      return "gate before linear part";
    case GluLayout::kInterleaved:
      return "rows of gate and linear part take turns";
  }
  return "";
}

const char* words_for(RopeScaling scaling) {
  switch (scaling) {
    case RopeScaling::kNone:
      return "none";
    case RopeScaling::kLinear:
      return "linear";
    case RopeScaling::kDynamic:
      return "dynamic";
    case RopeScaling::kYarn:
      return "yarn";
    case RopeScaling::kLongRope:
      return "longrope";
    case RopeScaling::kLlama3:
      return "llama3";
  }
  return "";
}

const char* words_for(PositionKind kind) {
  switch (kind) {
    case PositionKind::kSinusoidal:
      return "sinusoidal";
    case PositionKind::kLearned:
      return "learned";
    case PositionKind::kRotary:
      return "rotary";
  }
  return "";
}

bool has_dense_layers(const ModelConfig& config) {
  return std::ranges::count(config.layers, FfnKind::kDense) > 0;
}

void add_sizes(const ModelConfig& config, ReportSection& section) {
  section.add_fact("family", config.family);
  section.add_fact("layers", int64_t{config.num_layers()});
  section.add_fact("hidden_size", config.hidden_size);
  section.add_fact("heads", config.num_heads);
  section.add_fact("key_value_heads", config.num_kv_heads);
  section.add_fact("head_size", config.head_dim);
  if (has_dense_layers(config)) section.add_fact("feed_forward_size", config.ffn_size);
  section.add_fact("vocabulary", config.vocab_size);
}

std::string bias_text(const AttentionBiases& biases) {
  std::string text;
  const auto add = [&](HasBias bias, const char* name) {
    if (bias == HasBias::kYes) text += (text.empty() ? "" : ", ") + std::string(name);
  };
  add(biases.query, "query");
  add(biases.key, "key");
  add(biases.value, "value");
  add(biases.query_latent, "query latent");
  add(biases.latent, "latent");
  add(biases.output, "output");
  return text.empty() ? "none" : text;
}

void add_latent(const ModelConfig& config, ReportSection& section) {
  const LatentSizes& latent = config.latent;
  section.add_fact("value_size", config.value_dim);
  section.add_fact("latent_rank", latent.rank);
  if (latent.query_rank > 0) section.add_fact("query_latent_rank", latent.query_rank);
  section.add_fact("rotated_head_size", latent.rope_dim);
  section.add_fact("latent_norm_epsilon", float_value(latent.norm_eps));
}

void add_windows(const ModelConfig& config, ReportSection& section) {
  std::vector<int64_t> layers;
  int64_t window = 0;
  for (int layer = 0; layer < config.num_layers(); ++layer) {
    if (config.window_of(layer) == 0) continue;
    window = config.window_of(layer);
    layers.push_back(layer);
  }
  if (layers.empty()) return;
  section.add_fact("window", window);
  section.add_fact("layers_with_a_window", layers);
}

void add_attention(const ModelConfig& config, ReportSection& section) {
  const bool is_latent = config.attention == AttentionKind::kLatent;
  section.add_fact("attention", is_latent ? "latent" : "heads");
  if (is_latent) add_latent(config, section);
  section.add_fact("attention_biases", bias_text(config.biases));
  if (config.head_norm != HeadNorm::kNone) {
    const bool is_per_head = config.head_norm == HeadNorm::kPerHead;
    const bool is_before = config.head_norm_order == HeadNormOrder::kBeforeRope;
    section.add_fact("query_key_norms",
                     concat(is_per_head ? "of each head" : "of all heads together", ", ",
                            is_before ? "before rotation" : "after rotation"));
  }
  if (config.clip_qkv > 0.0f)
    section.add_fact("query_key_value_limit", float_value(config.clip_qkv));
  if (config.has_sinks) section.add_fact("attention_sinks", "yes");
  add_windows(config, section);
  section.add_fact("attention_scale", float_value(config.attention_scale));
}

void add_rope(const ModelConfig& config, ReportSection& section) {
  const RopeConfig& rope = config.rope;
  section.add_fact("rotated_size", rope.rotary_dim);
  section.add_fact("rotated_pairs",
                   rope.layout == RopeLayout::kHalves ? "of two halves" : "of neighbours");
  section.add_fact("rope_theta", ReportValue(rope.theta, concat(rope.theta)));
  section.add_fact("rope_scaling", words_for(rope.scaling));
  if (rope.scaling == RopeScaling::kNone) return;
  if (rope.scaling != RopeScaling::kLongRope) {
    section.add_fact("rope_factor", ReportValue(rope.factor, concat(rope.factor)));
  }
  section.add_fact("rope_original_positions", rope.original_positions);
  if (rope.scale != 1.0)
    section.add_fact("rope_magnitude", ReportValue(rope.scale, concat(rope.scale)));
  if (rope.long_scale != 1.0) {
    section.add_fact("rope_magnitude_long", ReportValue(rope.long_scale, concat(rope.long_scale)));
  }
}

void add_positions_and_norms(const ModelConfig& config, ReportSection& section) {
  section.add_fact("positions", config.trained_positions);
  section.add_fact("position_embedding", words_for(config.position_kind));
  if (config.position_kind == PositionKind::kRotary) {
    add_rope(config, section);
  } else {
    section.add_fact("first_position_row", config.position_offset);
  }
  section.add_fact("embedding_scale", float_value(config.embedding_scale));
  add_multiplier("residual_scale", config.residual_scale, section);
  add_multiplier("logits_scale", config.logits_scale, section);
  section.add_fact("norm", config.norm == NormKind::kRmsNorm ? "rms" : "layer");
  section.add_fact("norms", config.norm_placement == NormPlacement::kPre
                                ? "before attention and feed-forward"
                                : "after attention and feed-forward");
  section.add_fact("final_norm", config.final_norm == FinalNorm::kApplied ? "yes" : "no");
  section.add_fact("norm_epsilon", float_value(config.norm_eps));
}

void add_feed_forward(const ModelConfig& config, ReportSection& section) {
  const FfnForm& form = config.ffn_form;
  section.add_fact("activation", words_for(form.activation));
  section.add_fact("gated", words_for(form.glu));
  if (form.limit > 0.0f) section.add_fact("gated_limit", float_value(form.limit));
  add_multiplier("gated_scale", form.gate_scale, section);
  if (form.up_offset != 0.0f) section.add_fact("gated_offset", float_value(form.up_offset));
  const bool is_moe = config.num_moe_layers() > 0;
  const auto words = [](HasBias bias) { return bias == HasBias::kYes ? "yes" : "no"; };
  if (has_dense_layers(config)) section.add_fact("feed_forward_bias", words(config.ffn_bias));
  if (is_moe) section.add_fact("expert_bias", words(config.expert_bias));
}

void add_rest(const ModelConfig& config, ReportSection& section) {
  section.add_fact("output_matrix",
                   config.names.output == config.names.embedding ? "the embedding" : "its own");
  if (config.output_bias == HasBias::kYes) section.add_fact("output_bias", "yes");
  const auto add_token = [&](const char* name, int32_t token) {
    if (token != ModelConfig::kNoToken) section.add_fact(name, int64_t{token});
  };
  add_token("start_token", config.start_token);
  add_token("end_token", config.eos_token());
  if (config.eos_tokens.size() > 1) {
    section.add_fact("end_tokens",
                     std::vector<int64_t>(config.eos_tokens.begin(), config.eos_tokens.end()));
  }
  add_token("pad_token", config.pad_token);
  section.add_fact("weights_are_kept_as", weight_type_text(config));
}

}  // namespace

ReportSection architecture_section(const ModelConfig& config) {
  ReportSection section = make_facts("architecture", "");
  add_sizes(config, section);
  add_attention(config, section);
  add_expert_facts(config, section);
  add_feed_forward(config, section);
  add_positions_and_norms(config, section);
  add_rest(config, section);
  return section;
}

}  // namespace switchyard
