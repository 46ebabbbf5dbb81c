#include "runtime/checkpoint/fairseq_config.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

void check_supported(const SettingReader& settings) {
  for (const std::string_view name : fairseq_settings_that_must_be_off()) {
    if (!settings.is_off(std::string(name))) {
      settings.refuse(std::string(name), "models that use it are not supported");
    }
  }
  const std::string* family = settings.find("model._name");
  if (family != nullptr && !family->starts_with("'transformer_lm")) {
    settings.refuse("model._name", "only language models of the transformer_lm family are read");
  }
  for (const char* name : {"model.decoder_input_dim", "model.decoder_output_dim"}) {
    const int64_t width = settings.size("model.decoder_embed_dim");
    if (settings.integer(name, width) != width) {
      settings.refuse(name, concat("only the model's width, ", width, ", is supported"));
    }
  }
}

Activation read_activation(const SettingReader& settings) {
  const std::string* text = settings.find("model.activation_fn");
  if (text == nullptr || *text == "'relu'") return Activation::kRelu;  // the reference's default
  if (*text == "'gelu'") return Activation::kGelu;
  settings.refuse("model.activation_fn", "only 'relu' and 'gelu' are supported");
}

/// The gates, top1gate.py and top2gate.py of the reference.
void read_router(const SettingReader& settings, ModelConfig& config,
                 std::vector<std::string>& warnings) {
  config.capacity.eval_fraction =
      settings.real("model.moe_eval_capacity_token_fraction", config.capacity.eval_fraction);
  if (settings.flag("model.use_moe_pad_mask", false)) config.capacity.pads = PadRouting::kMasked;
  if (settings.flag("model.moe_top1_expert", false)) {
    config.router.top_k = 1;
    config.router.norm = GateNorm::kNone;
    return;
  }
  config.router.top_k = 2;
  config.router.norm = GateNorm::kChosen;
  const std::string* policy = settings.find("model.moe_second_expert_policy");
  if (policy == nullptr) {
    warnings.push_back(
        "cfg.model.moe_second_expert_policy is absent; the second expert is chosen as by 'all' "
        "(the option's own default is random)");
  } else if (*policy != "'all'") {
    settings.refuse("model.moe_second_expert_policy",
                    "its choice is random also in evaluation; only 'all' is supported");
  }
  if (settings.flag("model.moe_normalize_gate_prob_before_dropping", false)) {
    config.capacity.norm_order = NormOrder::kBeforeDropping;
  }
  if (settings.flag("model.moe_batch_prioritized_routing", false)) {
    config.capacity.slot_order = SlotOrder::kProbability;
  }
}

void read_layers(const SettingReader& settings, ModelConfig& config,
                 std::vector<std::string>& warnings) {
  const int64_t num_layers = settings.size("model.decoder_layers");
  if (num_layers < 1 || num_layers > 65536) {
    settings.refuse("model.decoder_layers", "expected 1 to 65536");
  }
  config.layers.assign(static_cast<size_t>(num_layers), FfnKind::kDense);
  const int64_t every = settings.integer("model.moe_freq", 0);
  config.router.num_experts = settings.integer("model.moe_expert_count", 0);
  if (every <= 0 || config.router.num_experts <= 0) {
    config.router.num_experts = 0;
    return;
  }
  for (int64_t i = 0; i < num_layers; ++i) {
    if ((i + 1) % every == 0) config.layers[static_cast<size_t>(i)] = FfnKind::kMoe;
  }
  read_router(settings, config, warnings);
}

void read_norms(const SettingReader& settings, const FairseqTensorFacts& facts,
                ModelConfig& config) {
  const bool before = settings.flag("model.decoder_normalize_before", true);
  config.norm_placement = before ? NormPlacement::kPre : NormPlacement::kPost;
  // Checkpoints of version 2 and older had no norm after the last layer: one that is stored all
  // the same is not applied by the reference either.
  const bool absent = !before || settings.flag("model.no_decoder_final_norm", false) ||
                      facts.decoder_version <= 2.0;
  config.final_norm = absent ? FinalNorm::kAbsent : FinalNorm::kApplied;
}

TensorNames fairseq_names() {
  const std::string layer = "decoder.layers.{layer}.";
  const std::string expert = layer + "moe_layer.experts.{expert}.";
  TensorNames names;
  names.embedding = "decoder.embed_tokens";
  names.positions = "decoder.embed_positions";
  names.attention_norm = layer + "self_attn_layer_norm";
  names.query = layer + "self_attn.q_proj";
  names.key = layer + "self_attn.k_proj";
  names.value = layer + "self_attn.v_proj";
  names.attention_output = layer + "self_attn.out_proj";
  names.ffn_norm = layer + "final_layer_norm";
  names.ffn_up = layer + "fc1";
  names.ffn_down = layer + "fc2";
  names.gate = layer + "moe_layer.gate.wg";
  names.expert_up = expert + "fc1";
  names.expert_down = expert + "fc2";
  names.final_norm = "decoder.layer_norm";
  names.output = "decoder.output_projection";
  return names;
}

void tie_output(const SettingReader& settings, const FairseqTensorFacts& facts,
                const std::string& source, ModelConfig& config,
                std::vector<std::string>& warnings) {
  using Output = FairseqTensorFacts::Output;
  if (!settings.flag("model.share_decoder_input_output_embed", false)) {
    if (facts.output == Output::kSameStorage) config.names.output = config.names.embedding;
    return;
  }
  if (facts.output != Output::kOwn) {
    config.names.output = config.names.embedding;
    return;
  }
  // Tied in the model, twice in the file: the reference loads both into one matrix, this one last.
  config.names.embedding = config.names.output;
  warnings.push_back(concat(source,
                            ": the embedding and the output matrix are tied but stored "
                            "apart; decoder.output_projection.weight is used for both"));
}

void read_positions(const SettingReader& settings, ModelConfig& config) {
  config.position_kind = settings.flag("model.decoder_learned_pos", false)
                             ? PositionKind::kLearned
                             : PositionKind::kSinusoidal;
  config.position_offset = 2;
  const int64_t block =
      settings.integer("model.tokens_per_sample", settings.integer("task.tokens_per_sample", 0));
  config.max_positions = settings.integer("model.max_target_positions", block);
  if (config.max_positions <= 0) {
    settings.refuse("model.max_target_positions", "expected the number of positions");
  }
  if (config.position_kind == PositionKind::kSinusoidal) {
    config.max_positions = std::min(config.max_positions, kMostSinusoidalPositions);
  }
  config.trained_positions = config.max_positions;
}

}  // namespace

ModelConfig make_fairseq_config(const FairseqSettings& settings, const FairseqTensorFacts& facts,
                                const std::string& source, std::vector<std::string>& warnings) {
  const SettingReader reader(settings, source);
  check_supported(reader);
  ModelConfig config;
  config.family = kFairseqFamily;
  config.hidden_size = reader.size("model.decoder_embed_dim");
  config.num_heads = reader.size("model.decoder_attention_heads");
  config.num_kv_heads = config.num_heads;
  if (config.num_heads <= 0 || config.hidden_size <= 0 ||
      config.hidden_size % config.num_heads != 0) {
    reader.refuse("model.decoder_attention_heads",
                  concat("expected a divisor of the width ", config.hidden_size));
  }
  config.head_dim = config.hidden_size / config.num_heads;
  config.ffn_size = reader.size("model.decoder_ffn_embed_dim");
  // moe_expert_ffn_dim is never read by the reference's decoder.
  config.expert_ffn_size = config.ffn_size;
  config.vocab_size = facts.vocab_size;
  read_layers(reader, config, warnings);
  read_positions(reader, config);
  read_norms(reader, facts, config);
  config.value_dim = config.head_dim;
  config.biases = {HasBias::kYes, HasBias::kYes, HasBias::kYes,
                   HasBias::kYes, HasBias::kNo,  HasBias::kNo};
  config.ffn_bias = HasBias::kYes;
  config.expert_bias = HasBias::kYes;
  config.ffn_form.activation = read_activation(reader);
  const bool scaled = !reader.flag("model.no_scale_embedding", false);
  config.embedding_scale =
      scaled ? static_cast<float>(std::sqrt(static_cast<double>(config.hidden_size))) : 1.0f;
  config.attention_scale =
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
  const bool add_bos = reader.flag("task.add_bos_token", reader.flag("model.add_bos_token", false));
  config.start_token = add_bos ? 0 : 2;
  const bool half =
      reader.flag("common.fp16", false) || reader.flag("common.memory_efficient_fp16", false);
  config.weight_dtype = half ? DType::kF16 : facts.stored_dtype;
  config.names = fairseq_names();
  tie_output(reader, facts, source, config, warnings);
  validate(config, source);
  return config;
}

}  // namespace switchyard
