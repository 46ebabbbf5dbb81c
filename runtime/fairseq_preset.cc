#include "runtime/fairseq_preset.h"

#include <charconv>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_config.h"

namespace switchyard {
namespace {

constexpr int64_t kMost16 = 65536;  // layers, heads, their size, experts, files
/// The ids 0 to 3 of fairseq's dictionaries are <s>, <pad>, </s> and <unk>.
constexpr int64_t kFewestTokens = 4;
/// Of all layers together: the names of their tensors are held in memory.
constexpr int64_t kMostExperts = int64_t{1} << 22;

const Choices<bool>& yes_or_no() {
  static const Choices<bool> kChoices = {{"true", true}, {"false", false}};
  return kChoices;
}

/// The keys that only models with experts have.
const std::vector<std::string>& expert_keys() {
  static const std::vector<std::string> kKeys = {
      "top_k",      "moe_every",   "rank_files",       "gate_norm",
      "slot_order", "pad_routing", "capacity_fraction"};
  return kKeys;
}

std::string flag(bool value) { return value ? "True" : "False"; }

/// The shortest decimal text that is this number.
std::string real(double value) {
  char digits[64];
  const std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

/// The keys of a fairseq model as fairseq's own settings.
class FairseqPreset {
 public:
  explicit FairseqPreset(const PresetReader& reader) : reader_(reader) {}

  ModelPreset build() {
    preset_.name = reader_.name();
    add_sizes();
    add_experts();
    add_positions();
    add_norms();
    add_type();
    set("model.activation_fn",
        reader_.choice<std::string>("activation", {{"gelu", "'gelu'"}, {"relu", "'relu'"}},
                                    "'gelu'"));
    set("model.no_scale_embedding", flag(!reader_.choice("scale_embedding", yes_or_no(), {true})));
    const bool starts_with_bos =
        reader_.choice<bool>("start_token", {{"eos", false}, {"bos", true}}, false);
    set("model.add_bos_token", flag(starts_with_bos));
    set("task.add_bos_token", flag(starts_with_bos));
    make_config();
    return std::move(preset_);
  }

 private:
  void set(const std::string& name, const std::string& text) { preset_.settings[name] = text; }
  void set(const std::string& name, int64_t value) { set(name, std::to_string(value)); }

  void add_sizes();
  void add_experts();
  void add_gate(int64_t experts);
  void add_positions();
  void add_norms();
  void add_type();
  void make_config();

  const PresetReader& reader_;
  ModelPreset preset_;
  int64_t hidden_size_ = 0;
};

void FairseqPreset::add_sizes() {
  hidden_size_ = reader_.number("hidden_size", 1, int64_t{1} << 20);
  const int64_t heads = reader_.number("heads", 1, kMost16);
  if (hidden_size_ % heads != 0) {
    reader_.refuse("heads", concat("expected a divisor of hidden_size, ", hidden_size_));
  }
  if (hidden_size_ / heads > kMost16) {
    reader_.refuse("heads", concat("they make heads of ", hidden_size_ / heads,
                                   "; expected at most ", kMost16));
  }
  set("model._name", "'transformer_lm_gpt'");
  set("model.decoder_layers", reader_.number("layers", 1, kMost16));
  set("model.decoder_embed_dim", hidden_size_);
  set("model.decoder_input_dim", hidden_size_);
  set("model.decoder_output_dim", hidden_size_);
  set("model.decoder_ffn_embed_dim", reader_.number("ffn_size", 1, int64_t{1} << 24));
  set("model.decoder_attention_heads", heads);
}

void FairseqPreset::add_experts() {
  const int64_t experts = reader_.number("experts", 0, kMost16, 0);
  set("model.moe_expert_count", experts);
  set("model.moe_freq", int64_t{0});
  if (experts == 0) {
    for (const std::string& key : expert_keys()) {
      if (reader_.has(key)) reader_.refuse(key, "it has no meaning in a model without experts");
    }
    return;
  }
  const int64_t layers = reader_.number("layers", 1, kMost16);
  const int64_t every = reader_.number("moe_every", 1, kMost16, 2);
  if (every > layers) {
    reader_.refuse("layers", concat("by moe_every ", every, " no layer has experts; expected at ",
                                    "least ", every, " layers"));
  }
  if (layers / every * experts > kMostExperts) {
    reader_.refuse("experts", concat("expected at most ", kMostExperts, " in all layers together"));
  }
  set("model.moe_freq", every);
  preset_.rank_files = reader_.number("rank_files", 1, kMost16, 1);
  if (experts % preset_.rank_files != 0) {
    reader_.refuse("rank_files", concat("expected a divisor of the number of experts, ", experts));
  }
  add_gate(experts);
}

void FairseqPreset::add_gate(int64_t experts) {
  const int64_t top_k = reader_.number("top_k", 1, 2, 2);
  if (top_k > experts) {
    reader_.refuse("experts", concat("a token goes to top_k = ", top_k, " of them"));
  }
  for (const char* key : {"gate_norm", "slot_order"}) {
    if (top_k == 1 && reader_.has(key))
      reader_.refuse(key, "the gate of top_k 1 has no such thing");
  }
  set("model.moe_top1_expert", flag(top_k == 1));
  set("model.moe_gating_use_fp32", flag(true));
  set("model.moe_second_expert_policy", "'all'");
  set("model.moe_eval_capacity_token_fraction", real(reader_.real("capacity_fraction", 0.25)));
  const auto set_choice = [&](const char* setting, const char* key, const char* off,
                              const char* on) {
    set(setting, flag(reader_.choice<bool>(key, {{off, false}, {on, true}}, false)));
  };
  set_choice("model.moe_normalize_gate_prob_before_dropping", "gate_norm", "after_dropping",
             "before_dropping");
  set_choice("model.moe_batch_prioritized_routing", "slot_order", "rows", "probability");
  set_choice("model.use_moe_pad_mask", "pad_routing", "routed", "masked");
}

void FairseqPreset::add_positions() {
  const bool learned =
      reader_.choice<bool>("positions", {{"sinusoidal", false}, {"learned", true}}, false);
  const int64_t positions = reader_.number("max_positions", 1, int64_t{1} << 30);
  if (!learned && positions > kMostSinusoidalPositions) {
    reader_.refuse("max_positions", concat("sinusoidal positions end at ", kMostSinusoidalPositions,
                                           "; expected at most that"));
  }
  if (!learned && hidden_size_ < 4) {
    reader_.refuse("hidden_size", "sinusoidal positions need at least 4");
  }
  set("model.decoder_learned_pos", flag(learned));
  for (const char* section : {"model", "task"}) {
    set(concat(section, ".max_target_positions"), positions);
    set(concat(section, ".tokens_per_sample"), positions);
  }
}

void FairseqPreset::add_norms() {
  const bool before = reader_.choice<bool>("norm", {{"pre", true}, {"post", false}}, true);
  const bool final_norm = reader_.choice("final_norm", yes_or_no(), {before});
  if (!before && final_norm) {
    reader_.refuse("final_norm", "with norm: post there is no norm after the last layer");
  }
  set("model.decoder_normalize_before", flag(before));
  set("model.no_decoder_final_norm", flag(!final_norm));
}

void FairseqPreset::add_type() {
  preset_.dtype = reader_.choice<DType>(
      "dtype", {{"fp16", DType::kF16}, {"bf16", DType::kBF16}, {"fp32", DType::kF32}});
  const std::string half = flag(preset_.dtype == DType::kF16);
  for (const char* section : {"common", "distributed_training", "model"}) {
    set(concat(section, ".fp16"), half);
    set(concat(section, ".memory_efficient_fp16"), half);
  }
  set("common.bf16", flag(preset_.dtype == DType::kBF16));
}

void FairseqPreset::make_config() {
  const bool tied = reader_.choice("tied_output", yes_or_no(), {true});
  set("model.share_decoder_input_output_embed", flag(tied));
  FairseqTensorFacts facts;
  facts.vocab_size = reader_.number("vocab_size", kFewestTokens, int64_t{1} << 30);
  facts.decoder_version = 3.0;
  facts.output = tied ? FairseqTensorFacts::Output::kSameStorage : FairseqTensorFacts::Output::kOwn;
  facts.stored_dtype = preset_.dtype;
  std::vector<std::string> warnings;
  preset_.config = make_fairseq_config(preset_.settings, facts, reader_.name(), warnings);
}

}  // namespace

std::vector<std::string> fairseq_preset_keys() {
  std::vector<std::string> keys = {"family",     "layers",      "hidden_size",   "ffn_size",
                                   "heads",      "vocab_size",  "max_positions", "experts",
                                   "dtype",      "activation",  "positions",     "norm",
                                   "final_norm", "start_token", "tied_output",   "scale_embedding"};
  keys.insert(keys.end(), expert_keys().begin(), expert_keys().end());
  return keys;
}

ModelPreset build_fairseq_preset(const PresetReader& reader) {
  return FairseqPreset(reader).build();
}

}  // namespace switchyard
