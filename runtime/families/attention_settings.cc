#include "runtime/families/attention_settings.h"

#include <cmath>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

namespace json = boost::json;

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
  config.biases.query_latent = bias_flag(settings, "latent_bias");
  config.biases.latent = bias_flag(settings, "latent_bias");
}

/// The window of each layer: `windowed` says which layers have one.
void read_windows(const FamilySettings& settings, ModelConfig& config) {
  const bool is_on = !settings.has("window_enabled") || settings.flag("window_enabled");
  const json::value& kinds = settings.value("window_layer_types");
  const int64_t first = settings.integer_or("window_first_layer", 0);
  const int64_t size = settings.integer_or("window", 0);
  const int64_t window = is_on ? size : 0;
  const bool is_given = settings.has_key("layer_types");  // and not the description's own word
  if (!kinds.is_null() && !kinds.is_array() && (is_given || !kinds.is_string())) {
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

}  // namespace

HasBias bias_flag(const FamilySettings& settings, std::string_view name) {
  return settings.flag(name) ? HasBias::kYes : HasBias::kNo;
}

void read_attention_settings(const FamilySettings& settings, ModelConfig& config) {
  enum class Kind { kHeads, kLatent };
  const auto kind =
      settings.choice<Kind>("attention", {{"heads", Kind::kHeads}, {"latent", Kind::kLatent}});
  if (kind == Kind::kLatent) {
    read_latent(settings, config);
  } else {
    read_heads(settings, config);
    config.biases.key = bias_flag(settings, "key_bias");
    config.biases.value = bias_flag(settings, "value_bias");
    config.biases.query = bias_flag(settings, "query_bias");
  }
  config.biases.output = bias_flag(settings, "attention_output_bias");
  config.head_norm = settings.choice<HeadNorm>("head_norm", {{"none", HeadNorm::kNone},
                                                             {"per_head", HeadNorm::kPerHead},
                                                             {"full_width", HeadNorm::kFullWidth}});
  config.head_norm_order = settings.choice<HeadNormOrder>(
      "head_norm_order",
      {{"before_rope", HeadNormOrder::kBeforeRope}, {"after_rope", HeadNormOrder::kAfterRope}});
  config.clip_qkv = static_cast<float>(settings.number_or("clip_qkv", 0.0));
  if (settings.has("clip_qkv") && !(config.clip_qkv > 0.0f)) {
    settings.refuse("clip_qkv", "expected a positive number, or null for none");
  }
  config.has_sinks = settings.flag("sinks");
  config.attention_scale = static_cast<float>(
      settings.number_or("attention_scale", 1.0 / std::sqrt(static_cast<double>(config.head_dim))));
  read_windows(settings, config);
}

}  // namespace switchyard
