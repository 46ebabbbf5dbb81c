#include "runtime/checkpoint/config_json.h"

#include "runtime/checkpoint/config_names.h"
#include "runtime/checkpoint/json_fields.h"
#include "runtime/checkpoint/quantization_json.h"

namespace switchyard {

template <typename Visit, FieldsOf<RouterSettings> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("num_experts", c.num_experts);
  visit("top_k", c.top_k);
  visit("norm", c.norm);
  visit("score", c.score);
  visit("selector", c.selector);
  visit("num_groups", c.num_groups);
  visit("kept_groups", c.kept_groups);
  visit("group_score", c.group_score);
  visit("norm_floor", c.norm_floor);
  visit("norm_add", c.norm_add);
  visit("jitter", c.jitter);
}

template <typename Visit, FieldsOf<FfnForm> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("activation", c.activation);
  visit("glu", c.glu);
  visit("limit", c.limit);
  visit("gate_scale", c.gate_scale);
  visit("up_offset", c.up_offset);
}

template <typename Visit, FieldsOf<RopeConfig> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("rotary_dim", c.rotary_dim);
  visit("layout", c.layout);
  visit("theta", c.theta);
  visit("scaling", c.scaling);
  visit("factor", c.factor);
  visit("original_positions", c.original_positions);
  visit("alpha", c.alpha);
  visit("beta_fast", c.beta_fast);
  visit("beta_slow", c.beta_slow);
  visit("truncates", c.truncates);
  visit("low_freq_factor", c.low_freq_factor);
  visit("high_freq_factor", c.high_freq_factor);
  visit("short_factors", c.short_factors);
  visit("long_factors", c.long_factors);
  visit("scale", c.scale);
  visit("long_scale", c.long_scale);
}

template <typename Visit, FieldsOf<TensorNames> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("embedding", c.embedding);
  visit("positions", c.positions);
  visit("attention_norm", c.attention_norm);
  visit("query", c.query);
  visit("key", c.key);
  visit("value", c.value);
  visit("attention_output", c.attention_output);
  visit("query_norm", c.query_norm);
  visit("key_norm", c.key_norm);
  visit("sinks", c.sinks);
  visit("query_latent", c.query_latent);
  visit("query_latent_norm", c.query_latent_norm);
  visit("latent", c.latent);
  visit("latent_norm", c.latent_norm);
  visit("head_keys", c.head_keys);
  visit("head_values", c.head_values);
  visit("ffn_norm", c.ffn_norm);
  visit("ffn_up", c.ffn_up);
  visit("ffn_down", c.ffn_down);
  visit("gate", c.gate);
  visit("gate_inner", c.gate_inner);
  visit("selection_bias", c.selection_bias);
  visit("expert_up", c.expert_up);
  visit("expert_down", c.expert_down);
  visit("shared_up", c.shared_up);
  visit("shared_down", c.shared_down);
  visit("shared_gate", c.shared_gate);
  visit("final_norm", c.final_norm);
  visit("output", c.output);
  visit("output_bias", c.output_bias);
}

template <typename Visit, FieldsOf<CapacityRules> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("eval_fraction", c.eval_fraction);
  visit("norm_order", c.norm_order);
  visit("slot_order", c.slot_order);
  visit("pads", c.pads);
}

template <typename Visit, FieldsOf<LatentSizes> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("query_rank", c.query_rank);
  visit("rank", c.rank);
  visit("nope_dim", c.nope_dim);
  visit("rope_dim", c.rope_dim);
  visit("norm_eps", c.norm_eps);
}

template <typename Visit, FieldsOf<AttentionBiases> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("query", c.query);
  visit("key", c.key);
  visit("value", c.value);
  visit("output", c.output);
  visit("query_latent", c.query_latent);
  visit("latent", c.latent);
}

template <typename Visit, FieldsOf<ExpertCounts> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("num_experts", c.num_experts);
  visit("top_k", c.top_k);
}

template <typename Visit, FieldsOf<WeightQuantization> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("experts", c.experts);
  visit("attention", c.attention);
}

template <typename Visit, FieldsOf<ModelConfig> Fields>
void visit_fields(Visit& visit, Fields& c) {
  visit("family", c.family);
  visit("hidden_size", c.hidden_size);
  visit("vocab_size", c.vocab_size);
  visit("layers", c.layers);
  visit("attention", c.attention);
  visit("attention_form", c.attention_form);
  visit("num_heads", c.num_heads);
  visit("num_kv_heads", c.num_kv_heads);
  visit("head_dim", c.head_dim);
  visit("value_dim", c.value_dim);
  visit("latent", c.latent);
  visit("biases", c.biases);
  visit("head_norm", c.head_norm);
  visit("head_norm_order", c.head_norm_order);
  visit("clip_qkv", c.clip_qkv);
  visit("has_sinks", c.has_sinks);
  visit("attention_scale", c.attention_scale);
  visit("windows", c.windows);
  visit("ffn_form", c.ffn_form);
  visit("ffn_size", c.ffn_size);
  visit("expert_ffn_size", c.expert_ffn_size);
  visit("expert_ffn_sizes", c.expert_ffn_sizes);
  visit("shared_ffn_size", c.shared_ffn_size);
  visit("shared_gate", c.shared_gate);
  visit("ffn_bias", c.ffn_bias);
  visit("expert_bias", c.expert_bias);
  visit("router", c.router);
  visit("expert_counts", c.expert_counts);
  visit("gate_network", c.gate_network);
  visit("gate_bias", c.gate_bias);
  visit("has_selection_bias", c.has_selection_bias);
  visit("route_scales", c.route_scales);
  visit("capacity", c.capacity);
  visit("max_positions", c.max_positions);
  visit("trained_positions", c.trained_positions);
  visit("position_kind", c.position_kind);
  visit("rope", c.rope);
  visit("position_offset", c.position_offset);
  visit("embedding_scale", c.embedding_scale);
  visit("residual_scale", c.residual_scale);
  visit("logits_scale", c.logits_scale);
  visit("output_bias", c.output_bias);
  visit("norm", c.norm);
  visit("norm_placement", c.norm_placement);
  visit("final_norm", c.final_norm);
  visit("norm_eps", c.norm_eps);
  visit("start_token", c.start_token);
  visit("eos_tokens", c.eos_tokens);
  visit("pad_token", c.pad_token);
  visit("weight_typing", c.weight_typing);
  visit("weight_dtype", c.weight_dtype);
  visit("quantization", c.quantization);
  visit("names", c.names);
}

boost::json::value config_to_json(const ModelConfig& config) { return to_json(config); }

ModelConfig config_from_json(const boost::json::value& json, const std::string& source) {
  ModelConfig config;
  from_json(json, config, JsonPlace(source, "config"));
  return config;
}

}  // namespace switchyard
