#include "runtime/model_config.h"

namespace switchyard {
namespace {

void replace(std::string& text, const std::string& what, const std::string& with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), with);
    at += with.size();
  }
}

void require(bool condition, const std::string& source, const std::string& problem) {
  if (!condition) fail_input(source, ": ", problem);
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

void validate(const ModelConfig& config, const std::string& source) {
  const auto positive = [&](int64_t value, const char* what, int64_t limit) {
    require(value > 0 && value <= limit, source,
            concat(what, " is ", value, "; expected 1 to ", limit));
  };
  positive(config.hidden_size, "the model width (decoder_embed_dim)", int64_t{1} << 20);
  positive(config.num_heads, "the number of attention heads", 65536);
  positive(config.num_kv_heads, "the number of key/value heads", 65536);
  positive(config.head_dim, "the head size", 65536);
  positive(config.ffn_size, "the feed-forward size (decoder_ffn_embed_dim)", int64_t{1} << 24);
  positive(config.vocab_size, "the vocabulary", int64_t{1} << 30);
  positive(config.num_layers(), "the number of layers", 65536);
  positive(config.max_positions, "the number of positions", int64_t{1} << 30);
  require(config.num_heads * config.head_dim == config.hidden_size, source,
          concat("the width ", config.hidden_size, " is not divided by ", config.num_heads,
                 " attention heads"));
  require(config.num_kv_heads == config.num_heads, source,
          "grouped key/value heads are not supported for this family");
  require(config.start_token >= 0 && config.start_token < config.vocab_size, source,
          concat("the start token ", config.start_token, " is outside the vocabulary of ",
                 config.vocab_size));
  // The frequencies are spread over half the width less one.
  require(config.position_kind != PositionKind::kSinusoidal || config.hidden_size >= 4, source,
          concat("sinusoidal positions need a width of at least 4, not ", config.hidden_size));
  if (config.num_moe_layers() == 0) return;
  positive(config.router.num_experts, "the number of experts (moe_expert_count)", 65536);
  positive(config.expert_ffn_size, "the experts' feed-forward size", int64_t{1} << 24);
  require(config.router.top_k >= 1 && config.router.top_k <= config.router.num_experts, source,
          concat("a token goes to ", config.router.top_k, " experts, but there are ",
                 config.router.num_experts));
  require(config.router.top_k <= kMaxTopK, source,
          concat("a token goes to ", config.router.top_k, " experts; at most ", kMaxTopK,
                 " are supported"));
}

}  // namespace switchyard
