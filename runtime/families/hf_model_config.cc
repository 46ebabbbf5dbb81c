#include "runtime/families/hf_model_config.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/untrusted_json.h"
#include "runtime/families/attention_settings.h"
#include "runtime/families/expert_settings.h"
#include "runtime/families/family_settings.h"
#include "runtime/families/rope_settings.h"

namespace switchyard {
namespace {

namespace json = boost::json;

constexpr int64_t kMaxLayers = 65536;
constexpr int64_t kMostPositions = int64_t{1} << 30;

void read_sizes(const FamilySettings& settings, ModelConfig& config) {
  config.hidden_size = settings.integer("hidden_size", 1, 1 << 20);
  config.vocab_size = settings.integer("vocab_size", 1, 1 << 30);
  config.layers.assign(static_cast<size_t>(settings.integer("num_layers", 1, kMaxLayers)),
                       FfnKind::kDense);
  config.trained_positions = settings.integer("max_positions", 1, kMostPositions);
  config.max_positions = config.trained_positions;
  config.ffn_size = settings.integer_or("ffn_size", 0);
  config.ffn_bias = bias_flag(settings, "ffn_bias");
  config.ffn_form.activation =
      settings.choice<Activation>("activation", {{"silu", Activation::kSilu},
                                                 {"gelu", Activation::kGelu},
                                                 {"gelu_tanh", Activation::kGeluTanh},
                                                 {"relu", Activation::kRelu}});
  config.ffn_form.glu =
      settings.choice<GluLayout>("glu", {{"none", GluLayout::kNone},
                                         {"halves", GluLayout::kHalves},
                                         {"interleaved", GluLayout::kInterleaved}});
  config.ffn_form.limit = static_cast<float>(settings.number_or("glu_limit", 0.0));
  config.ffn_form.gate_scale = static_cast<float>(settings.number_or("glu_gate_scale", 1.0));
  config.ffn_form.up_offset = static_cast<float>(settings.number_or("glu_up_offset", 0.0));
}

void read_norms_and_scales(const FamilySettings& settings, ModelConfig& config) {
  config.norm = settings.choice<NormKind>(
      "norm", {{"rms", NormKind::kRmsNorm}, {"layer", NormKind::kLayerNorm}});
  config.norm_eps = static_cast<float>(settings.number("norm_eps"));
  if (config.norm_eps < 0.0f) settings.refuse("norm_eps", "expected 0 or more");
  const double by_width = std::sqrt(static_cast<double>(config.hidden_size));
  config.embedding_scale = static_cast<float>(settings.flag("scales_embedding_by_width")
                                                  ? by_width
                                                  : settings.number_or("embedding_scale", 1.0));
  config.residual_scale = static_cast<float>(settings.number_or("residual_scale", 1.0));
  const double divisor = settings.number_or("logits_divisor", 1.0);
  if (divisor == 0.0) settings.refuse("logits_divisor", "logits are divided by it");
  config.logits_scale = static_cast<float>(1.0 / divisor);
  config.output_bias = bias_flag(settings, "output_bias");
  if (settings.flag("tied")) config.names.output = config.names.embedding;
}

void read_positions(const FamilySettings& settings, ModelConfig& config) {
  config.position_kind = settings.choice<PositionKind>(
      "positions", {{"rotary", PositionKind::kRotary}, {"sinusoidal", PositionKind::kSinusoidal}});
  config.position_offset = settings.integer_or("position_offset", 0);
  if (config.position_kind != PositionKind::kRotary) return;
  const int64_t rotary_head =
      config.attention == AttentionKind::kLatent ? config.latent.rope_dim : config.head_dim;
  const RopeSettings rope = read_rope_settings(settings, rotary_head, config.trained_positions);
  config.rope = rope.rope;
  config.attention_scale =
      static_cast<float>(static_cast<double>(config.attention_scale) * rope.softmax_scale);
  // They are computed, not stored: what ends the positions is what the model was trained for.
  config.max_positions = kMostPositions;
}

void read_quantization(const FamilySettings& settings, HfModel& model) {
  const json::value& value = settings.key("quantization_config");
  if (value.is_null()) return;
  const json::object* dict = value.if_object();
  const json::value* method = dict == nullptr ? nullptr : dict->if_contains("quant_method");
  const std::string name = method == nullptr ? "" : plain_text(*method);
  if (name == "mxfp4") {
    model.quantization = Quantization::kMxfp4;
    return;
  }
  if (name != "fp8") {
    settings.refuse_key("quantization_config",
                        concat("quantisation '", printable(name),
                               "' is not supported; supported are fp8 (e4m3 in blocks) and mxfp4"));
  }
  const json::value* format = dict->if_contains("fmt");
  const json::value* block = dict->if_contains("weight_block_size");
  const bool has_block = block != nullptr && block->is_array() && block->get_array().size() == 2 &&
                         block->get_array()[0].is_int64() && block->get_array()[1].is_int64();
  if ((format != nullptr && plain_text(*format) != "e4m3") || !has_block) {
    settings.refuse_key("quantization_config",
                        "of fp8 only e4m3 with weight_block_size [rows, columns] is supported");
  }
  model.quantization = Quantization::kFp8Block;
  model.block_rows = block->get_array()[0].get_int64();
  model.block_cols = block->get_array()[1].get_int64();
  constexpr int64_t kMostBlock = 65536;
  if (std::min(model.block_rows, model.block_cols) < 1 ||
      std::max(model.block_rows, model.block_cols) > kMostBlock) {
    settings.refuse_key("quantization_config",
                        concat("expected a weight_block_size of 1 to ", kMostBlock));
  }
}

/// A number, a list of numbers, or null.
std::vector<int32_t> read_tokens(const json::value& value, int64_t vocab_size,
                                 const std::string& what) {
  std::vector<int32_t> tokens;
  const auto add = [&](const json::value& item) {
    const int64_t* token = item.if_int64();
    if (token == nullptr || *token < 0) {
      fail_input(what, ": ", printable(json::serialize(value)), ": expected token ids");
    }
    // An id that the embedding has not (some files name one) can end no text.
    if (*token < vocab_size) tokens.push_back(static_cast<int32_t>(*token));
  };
  if (value.is_array()) {
    for (const json::value& item : value.get_array()) add(item);
  } else if (!value.is_null()) {
    add(value);
  }
  return tokens;
}

json::object parse_object(const std::string& text, const std::string& source) {
  json::value value = parse_untrusted_json(text, source);
  if (!value.is_object()) fail_input(source, ": expected a JSON object");
  return std::move(value.get_object());
}

void read_ends(const FamilySettings& settings, const std::string& generation_text,
               ModelConfig& config) {
  config.start_token = ModelConfig::kNoToken;
  config.pad_token = ModelConfig::kNoToken;
  config.eos_tokens = read_tokens(settings.value("eos"), config.vocab_size,
                                  concat(settings.source(), ": eos_token_id"));
  if (generation_text.empty()) return;
  const std::string source =
      settings.source().substr(0, settings.source().rfind('/') + 1) + "generation_config.json";
  const json::object generation = parse_object(generation_text, source);
  const json::value* eos = generation.if_contains("eos_token_id");
  if (eos == nullptr || eos->is_null()) return;
  config.eos_tokens = read_tokens(*eos, config.vocab_size, concat(source, ": eos_token_id"));
}

}  // namespace

HfModel read_hf_model(const std::string& config_text, const std::string& generation_text,
                      const std::string& source) {
  const json::object object = parse_object(config_text, source);
  const json::value* type = object.if_contains("model_type");
  if (type == nullptr || !type->is_string()) {
    fail_input(source, ": has no \"model_type\", which names the family of the model; give the ",
               "folder with the files for transformers (of gpt-oss the one above original/)");
  }
  HfModel model;
  model.family = &family_of(std::string(type->get_string()), source);
  const FamilySettings settings(*model.family, object, source);
  ModelConfig& config = model.config;
  config.family = std::string(type->get_string());
  config.weight_typing = WeightTyping::kAsStored;
  read_sizes(settings, config);
  read_norms_and_scales(settings, config);
  read_attention_settings(settings, config);
  read_positions(settings, config);
  read_expert_settings(settings, config);
  read_quantization(settings, model);
  read_ends(settings, generation_text, config);
  model.extra_layers = settings.integer_or("extra_layers", 0);
  settings.require_all_known();
  validate(config, source);
  return model;
}

}  // namespace switchyard
