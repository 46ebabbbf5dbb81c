#include "runtime/families/hf_model_config.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/families/family_settings.h"
#include "runtime/families/rope_settings.h"

namespace switchyard {
namespace {

namespace json = boost::json;

constexpr int64_t kMaxLayers = 65536;
constexpr int64_t kMostPositions = int64_t{1} << 30;

HasBias bias(const FamilySettings& settings, std::string_view name) {
  return settings.flag(name) ? HasBias::kYes : HasBias::kNo;
}

void read_sizes(const FamilySettings& settings, ModelConfig& config) {
  config.hidden_size = settings.integer("hidden_size", 1, 1 << 20);
  config.vocab_size = settings.integer("vocab_size", 1, 1 << 30);
  config.layers.assign(static_cast<size_t>(settings.integer("num_layers", 1, kMaxLayers)),
                       FfnKind::kDense);
  config.trained_positions = settings.integer("max_positions", 1, kMostPositions);
  config.max_positions = config.trained_positions;
  config.ffn_size = settings.integer_or("ffn_size", 0);
  config.ffn_bias = bias(settings, "ffn_bias");
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
  const double by_width = std::sqrt(static_cast<double>(config.hidden_size));
  config.embedding_scale = static_cast<float>(settings.flag("scales_embedding_by_width")
                                                  ? by_width
                                                  : settings.number_or("embedding_scale", 1.0));
  config.residual_scale = static_cast<float>(settings.number_or("residual_scale", 1.0));
  const double divisor = settings.number_or("logits_divisor", 1.0);
  if (divisor == 0.0) settings.refuse("logits_divisor", "logits are divided by it");
  config.logits_scale = static_cast<float>(1.0 / divisor);
  config.output_bias = bias(settings, "output_bias");
  if (settings.flag("tied")) config.names.output = config.names.embedding;
}

void read_heads(const FamilySettings& settings, ModelConfig& config) {
  config.num_heads = settings.integer("num_heads", 1, 65536);
  config.num_kv_heads =
      settings.has("num_kv_heads") ? settings.integer("num_kv_heads", 1, 65536) : config.num_heads;
  config.head_dim = settings.has("head_dim") ? settings.integer("head_dim", 1, 65536)
                                             : config.hidden_size / config.num_heads;
  if (!settings.has("head_dim") && config.hidden_size % config.num_heads != 0) {
    settings.refuse("num_heads", concat("expected a divisor of the width ", config.hidden_size));
  }
  config.value_dim = config.head_dim;
}

void read_latent(const FamilySettings& settings, ModelConfig& config) {
  LatentSizes& latent = config.latent;
  config.attention = AttentionKind::kLatent;
  config.num_heads = settings.integer("num_heads", 1, 65536);
  // Their number of key/value heads says nothing: every head has its own.
  config.num_kv_heads = config.num_heads;
  latent.query_rank = settings.integer_or("latent_query_rank", 0);
  latent.rank = settings.integer("latent_rank", 1);
  latent.nope_dim = settings.integer("latent_nope_dim", 1);
  latent.rope_dim = settings.integer("latent_rope_dim", 1);
  latent.norm_eps = static_cast<float>(settings.number("latent_norm_eps"));
  config.head_dim = latent.nope_dim + latent.rope_dim;
  config.value_dim = settings.integer("value_dim", 1);
  config.biases.query_latent = bias(settings, "latent_bias");
  config.biases.latent = bias(settings, "latent_bias");
}

/// The window of each layer: `windowed` says which layers have one.
void read_windows(const FamilySettings& settings, ModelConfig& config) {
  const bool is_on = !settings.has("window_enabled") || settings.flag("window_enabled");
  const json::value& kinds = settings.value("window_layer_types");
  const int64_t first = settings.integer_or("window_first_layer", 0);
  const int64_t size = settings.integer_or("window", 0);
  const int64_t window = is_on ? size : 0;
  if (!kinds.is_null() && !kinds.is_string() && !kinds.is_array()) {
    settings.refuse("window_layer_types", "expected a list with the kind of each layer");
  }
  const bool has_list = kinds.is_array() && !kinds.get_array().empty();
  if (window == 0 && !has_list) return;
  if (has_list && kinds.get_array().size() != config.layers.size()) {
    settings.refuse("window_layer_types",
                    concat("expected one kind for each of ", config.layers.size(), " layers"));
  }
  const bool alternates = kinds.is_string() && kinds.get_string() == "even";
  for (size_t layer = 0; layer < config.layers.size(); ++layer) {
    bool has_window = static_cast<int64_t>(layer) >= first && (!alternates || layer % 2 == 0);
    if (has_list) {
      const std::string kind = plain_text(kinds.get_array()[layer]);
      if (kind != "sliding_attention" && kind != "full_attention") {
        settings.refuse("window_layer_types", "known are full_attention and sliding_attention");
      }
      has_window = kind == "sliding_attention";
      if (has_window && window == 0) settings.refuse("window", "expected the size of the window");
    }
    config.windows.push_back(has_window ? window : 0);
  }
}

void read_attention(const FamilySettings& settings, ModelConfig& config) {
  enum class Kind { kHeads, kLatent };
  const auto kind =
      settings.choice<Kind>("attention", {{"heads", Kind::kHeads}, {"latent", Kind::kLatent}});
  if (kind == Kind::kLatent) {
    read_latent(settings, config);
  } else {
    read_heads(settings, config);
    config.biases.key = bias(settings, "key_bias");
    config.biases.value = bias(settings, "value_bias");
    config.biases.query = bias(settings, "query_bias");
  }
  config.biases.output = bias(settings, "attention_output_bias");
  config.head_norm = settings.choice<HeadNorm>("head_norm", {{"none", HeadNorm::kNone},
                                                             {"per_head", HeadNorm::kPerHead},
                                                             {"full_width", HeadNorm::kFullWidth}});
  config.head_norm_order = settings.choice<HeadNormOrder>(
      "head_norm_order",
      {{"before_rope", HeadNormOrder::kBeforeRope}, {"after_rope", HeadNormOrder::kAfterRope}});
  config.clip_qkv = static_cast<float>(settings.number_or("clip_qkv", 0.0));
  if (config.clip_qkv < 0.0f) settings.refuse("clip_qkv", "expected a positive number");
  config.has_sinks = settings.flag("sinks");
  config.attention_scale = static_cast<float>(
      settings.number_or("attention_scale", 1.0 / std::sqrt(static_cast<double>(config.head_dim))));
  read_windows(settings, config);
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

/// A setting that is one number for all layers, or a list in which all are equal.
int64_t same_in_all_layers(const FamilySettings& settings, std::string_view name) {
  if (!settings.value(name).is_array()) return settings.integer(name, 1, 65536);
  const std::vector<int64_t> numbers = settings.integers(name);
  if (numbers.empty() ||
      std::ranges::adjacent_find(numbers, std::not_equal_to<>()) != numbers.end()) {
    settings.refuse(name, "numbers that differ between layers are not supported");
  }
  return numbers.front();
}

void read_moe_layers(const FamilySettings& settings, ModelConfig& config) {
  const auto num_layers = static_cast<int64_t>(config.layers.size());
  const int64_t first = settings.integer_or("moe_first_layer", 0);
  const int64_t last =
      settings.has("moe_last_layer") ? settings.integer("moe_last_layer", -1) : num_layers - 1;
  const int64_t step = settings.has("moe_step") ? settings.integer("moe_step", 1) : 1;
  const int64_t offset = settings.integer_or("moe_step_offset", 0);
  const std::vector<int64_t> dense = settings.integers("dense_layers");
  for (int64_t layer = first; layer <= (last < 0 ? num_layers - 1 : last); ++layer) {
    if (layer >= num_layers) break;
    const bool is_moe = (layer + offset) % step == 0 && std::ranges::count(dense, layer) == 0;
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
    router.num_groups = settings.integer("num_groups", 1, 65536);
    router.kept_groups = settings.integer("kept_groups", 1, 65536);
    router.group_score = groups == Groups::kTopTwo ? GroupScore::kTopTwo : GroupScore::kLargest;
  }
  config.gate_network = settings.choice<GateNetwork>(
      "gate_network", {{"linear", GateNetwork::kLinear}, {"tanh_mlp", GateNetwork::kTanhMlp}});
  config.gate_bias = bias(settings, "gate_bias");
  config.has_selection_bias = settings.flag("selection_bias");
}

void read_route_scales(const FamilySettings& settings, ModelConfig& config) {
  const json::value& scale = settings.value("route_scale");
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

void read_experts(const FamilySettings& settings, ModelConfig& config) {
  if (!settings.has("num_experts")) return;
  if (settings.value("num_experts") == json::value(0)) return;
  read_moe_layers(settings, config);
  if (config.num_moe_layers() == 0) return;
  config.router.num_experts = same_in_all_layers(settings, "num_experts");
  config.router.top_k = same_in_all_layers(settings, "top_k");
  read_gate(settings, config);
  read_route_scales(settings, config);
  config.expert_bias = bias(settings, "expert_bias");
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
  const int64_t shared = settings.integer_or("shared_size", 0);
  const int64_t count = settings.integer_or("shared_count", 0);
  config.shared_ffn_size = shared * count;
  config.shared_gate = settings.choice<SharedExpertGate>(
      "shared_gate", {{"none", SharedExpertGate::kNone}, {"sigmoid", SharedExpertGate::kSigmoid}});
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
  if (model.block_rows < 1 || model.block_cols < 1) {
    settings.refuse_key("quantization_config", "weight_block_size is not positive");
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
  json::error_code error;
  json::parse_options options;
  options.max_depth = 32;
  json::value value = json::parse(text, error, {}, options);
  if (error) fail_input(source, ": is no JSON: ", error.message());
  if (!value.is_object()) fail_input(source, ": expected a JSON object");
  return std::move(value.get_object());
}

void read_ends(const FamilySettings& settings, const std::string& generation_text,
               ModelConfig& config) {
  config.start_token = ModelConfig::kNoToken;
  config.pad_token = ModelConfig::kNoToken;
  config.eos_tokens = read_tokens(settings.key("eos_token_id"), config.vocab_size,
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
    fail_input(source, ": has no \"model_type\", which names the family of the model");
  }
  HfModel model;
  model.family = &family_of(std::string(type->get_string()), source);
  const FamilySettings settings(*model.family, object, source);
  ModelConfig& config = model.config;
  config.family = std::string(type->get_string());
  config.weight_typing = WeightTyping::kAsStored;
  read_sizes(settings, config);
  read_norms_and_scales(settings, config);
  read_attention(settings, config);
  read_positions(settings, config);
  read_experts(settings, config);
  read_quantization(settings, model);
  read_ends(settings, generation_text, config);
  model.extra_layers = settings.integer_or("extra_layers", 0);
  settings.require_all_known();
  validate(config, source);
  return model;
}

}  // namespace switchyard
