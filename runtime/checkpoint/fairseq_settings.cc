#include "runtime/checkpoint/fairseq_settings.h"

#include <charconv>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {
namespace {

/// Settings that are honoured.
constexpr std::string_view kUsedSettings[] = {
    "common.fp16",
    "common.memory_efficient_fp16",
    "model._name",
    "model.activation_fn",
    "model.add_bos_token",
    "model.decoder_attention_heads",
    "model.decoder_embed_dim",
    "model.decoder_ffn_embed_dim",
    "model.decoder_input_dim",
    "model.decoder_layers",
    "model.decoder_learned_pos",
    "model.decoder_normalize_before",
    "model.decoder_output_dim",
    "model.max_target_positions",
    "model.moe_expert_count",
    "model.moe_freq",
    "model.moe_second_expert_policy",
    "model.moe_top1_expert",
    "model.no_decoder_final_norm",
    "model.no_scale_embedding",
    "model.share_decoder_input_output_embed",
    "model.tokens_per_sample",
    "task.add_bos_token",
    "task.tokens_per_sample",
};

/// Follows "${section.name}" once.
PickleId resolve(const Pickle& pickle, PickleId cfg, PickleId value, const std::string& what) {
  const PickleNode& node = pickle[value];
  if (node.kind != PickleKind::kString || !node.text.starts_with("${") ||
      !node.text.ends_with("}")) {
    return value;
  }
  const std::string_view path = node.text.substr(2, node.text.size() - 3);
  const size_t dot = path.find('.');
  const PickleId section =
      dot == std::string_view::npos ? cfg : pickle.find(cfg, path.substr(0, dot));
  const std::string_view key = dot == std::string_view::npos ? path : path.substr(dot + 1);
  const PickleId target = section == kNoPickleId ? kNoPickleId : pickle.find(section, key);
  if (target == kNoPickleId ||
      (pickle[target].kind == PickleKind::kString && pickle[target].text.starts_with("${"))) {
    fail_input(what, " refers to ", pickle.describe(value),
               ", which is not there or refers to something else again");
  }
  return target;
}

std::string setting_text(const Pickle& pickle, PickleId value) {
  const PickleNode& node = pickle[value];
  switch (node.kind) {
    case PickleKind::kInt:
      return std::to_string(node.integer);
    case PickleKind::kFloat: {
      char digits[64];
      const auto end = std::to_chars(digits, digits + sizeof(digits), node.real).ptr;
      return std::string(digits, end);
    }
    case PickleKind::kString:
      return concat("'", printable(node.text), "'");
    case PickleKind::kCall:
      // An enumeration of fairseq: Class('value').
      if (pickle[node.callable].kind == PickleKind::kGlobal &&
          pickle[node.callable].text.starts_with("fairseq.") &&
          pickle[node.arguments].kind == PickleKind::kTuple &&
          pickle[node.arguments].items.size() == 1 &&
          pickle[pickle[node.arguments].items[0]].kind == PickleKind::kString) {
        return setting_text(pickle, pickle[node.arguments].items[0]);
      }
      break;
    default:
      break;
  }
  return pickle.describe(value);
}

}  // namespace

const std::vector<std::string_view>& fairseq_settings_that_must_be_off() {
  static const std::vector<std::string_view> kNames = {
      "model.adaptive_input",
      "model.adaptive_softmax_cutoff",
      "model.alibi",
      "model.alternate_decoder_ffn_embed_dim",
      "model.base_layers",
      "model.character_embeddings",
      "model.cross_self_attention",
      "model.decoder_layers_to_keep",
      "model.layernorm_embedding",
      "model.no_token_positional_embeddings",
      // Replaces the weights by 8-bit ones in evaluation too, unlike quant_noise_pq.
      "model.quant_noise_scalar",
      "model.scale_attn",
      "model.scale_fc",
      "model.scale_heads",
      "model.scale_resids",
      "model.tie_adaptive_proj",
      "model.tie_adaptive_weights",
      "model.use_stable_embedding",
  };
  return kNames;
}

FairseqConfigPart read_fairseq_config(const Pickle& pickle, const std::string& source) {
  FairseqConfigPart part;
  const PickleId cfg = pickle.find(pickle.root(), "cfg");
  if (cfg == kNoPickleId || pickle[cfg].kind == PickleKind::kNone) {
    const PickleId args = pickle.find(pickle.root(), "args");
    part.missing = concat("it has no 'cfg', and 'args' is ", pickle.describe(args));
    return part;
  }
  const std::string wanted =
      "; expected a dictionary of dictionaries. Load it with torch, replace it by "
      "OmegaConf.to_container(cfg) or the like, and save it again";
  if (pickle[cfg].kind != PickleKind::kDict) {
    fail_input(source, ": 'cfg' is ", pickle.describe(cfg), ", a form not supported yet", wanted);
  }
  const auto pick = [&](std::string_view name) {
    const size_t dot = name.find('.');
    const PickleId section = pickle.find(cfg, name.substr(0, dot));
    if (section == kNoPickleId || pickle[section].kind == PickleKind::kNone) return;
    const std::string where = concat(source, ": cfg.", name.substr(0, dot));
    if (pickle[section].kind != PickleKind::kDict) {
      fail_input(where, " is ", pickle.describe(section), ", a form not supported yet", wanted);
    }
    const PickleId value = pickle.find(section, name.substr(dot + 1));
    if (value == kNoPickleId) return;
    part.settings[std::string(name)] =
        setting_text(pickle, resolve(pickle, cfg, value, concat(source, ": cfg.", name)));
  };
  for (const std::string_view name : kUsedSettings) pick(name);
  for (const std::string_view name : fairseq_settings_that_must_be_off()) pick(name);
  if (part.settings.empty()) part.missing = "its 'cfg' holds no settings of a model";
  return part;
}

const std::string* SettingReader::find(const std::string& name) const {
  const auto found = settings_.find(name);
  return found == settings_.end() || found->second == "None" ? nullptr : &found->second;
}

bool SettingReader::is_off(const std::string& name) const {
  const std::string* text = find(name);
  return text == nullptr || *text == "False" || *text == "''" || *text == "0";
}

bool SettingReader::flag(const std::string& name, bool absent) const {
  const std::string* text = find(name);
  if (text == nullptr) return absent;
  if (*text != "True" && *text != "False" && *text != "1" && *text != "0") {
    refuse(name, "expected True or False");
  }
  return *text == "True" || *text == "1";
}

int64_t SettingReader::integer(const std::string& name, int64_t absent) const {
  const std::string* text = find(name);
  if (text == nullptr) return absent;
  int64_t value = 0;
  const char* end = text->data() + text->size();
  const auto result = std::from_chars(text->data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) refuse(name, "expected a whole number");
  return value;
}

int64_t SettingReader::size(const std::string& name) const {
  if (find(name) == nullptr) {
    fail_input(source_, ": the setting cfg.", name,
               " is missing; it cannot be seen from the tensors and is not guessed");
  }
  return integer(name, 0);
}

void SettingReader::refuse(const std::string& name, const std::string& why) const {
  const auto found = settings_.find(name);
  fail_input(source_, ": the setting cfg.", name, " is ",
             found == settings_.end() ? "absent" : found->second, "; ", why);
}

}  // namespace switchyard
