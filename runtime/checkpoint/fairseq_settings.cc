#include "runtime/checkpoint/fairseq_settings.h"

#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/config_tree.h"
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
    "model.moe_batch_prioritized_routing",
    "model.moe_eval_capacity_token_fraction",
    "model.moe_expert_count",
    "model.moe_freq",
    "model.moe_normalize_gate_prob_before_dropping",
    "model.moe_second_expert_policy",
    "model.moe_top1_expert",
    "model.no_decoder_final_norm",
    "model.no_scale_embedding",
    "model.share_decoder_input_output_embed",
    "model.tokens_per_sample",
    "model.use_moe_pad_mask",
    "task.add_bos_token",
    "task.tokens_per_sample",
};

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
    default:
      break;
  }
  return pickle.describe(value);
}

/// The settings that are read, by section.
using WantedSettings = std::map<std::string_view, std::set<std::string_view>>;

const WantedSettings& wanted_settings() {
  static const WantedSettings kWanted = [] {
    WantedSettings wanted;
    const auto add = [&](std::string_view name) {
      const size_t dot = name.find('.');
      wanted[name.substr(0, dot)].insert(name.substr(dot + 1));
    };
    for (const std::string_view name : kUsedSettings) add(name);
    for (const std::string_view name : fairseq_settings_that_must_be_off()) add(name);
    return wanted;
  }();
  return kWanted;
}

/// Picks settings out of a configuration: of sections, or of one flat list of arguments, where a
/// name stands for the settings of that name in all sections.
class SettingPicker {
 public:
  /// `what`: file and configuration, for messages.
  SettingPicker(const Pickle& pickle, PickleId stored, std::string what)
      : pickle_(pickle), tree_(pickle, stored), stored_(stored), what_(std::move(what)) {}

  FairseqSettings pick() {
    const PickleId top = tree_.entries(stored_);
    if (top == kNoPickleId) {
      fail_input(what_, " is ", pickle_.describe(stored_),
                 "; expected a dictionary, an argparse.Namespace or an omegaconf DictConfig");
    }
    const PickleId model = pickle_.find(top, "model");
    const bool flat = model == kNoPickleId || pickle_[model].kind == PickleKind::kString;
    for (const auto& [section, names] : wanted_settings()) {
      if (flat) {
        // The reference rounds weights by cfg.common alone, which such files lack.
        if (section != "common") pick_section(top, section, names, "arch");
      } else {
        pick_section(pickle_.find(top, section), section, names, "_name");
      }
    }
    return std::move(settings_);
  }

 private:
  /// `family` is what the setting _name is called here.
  void pick_section(PickleId node, std::string_view section,
                    const std::set<std::string_view>& names, std::string_view family) {
    if (node == kNoPickleId || pickle_[tree_.value(node)].kind == PickleKind::kNone) return;
    const PickleId dict = tree_.entries(node);
    if (dict == kNoPickleId) {
      fail_input(what_, ".", section, " is ", pickle_.describe(node),
                 "; expected a dictionary, an argparse.Namespace or an omegaconf DictConfig");
    }
    std::map<std::string_view, PickleId> found;  // the last of each name counts
    const std::vector<PickleId>& items = pickle_[dict].items;
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      const PickleNode& key = pickle_[items[i]];
      if (key.kind != PickleKind::kString) continue;
      const bool is_family = key.text == family;
      if (key.text == "_name" && !is_family) continue;
      const std::string_view name = is_family ? "_name" : key.text;
      if (names.count(name) > 0) found[name] = items[i + 1];
    }
    for (const auto& [name, value] : found) {
      const std::string setting = concat(section, ".", name);
      settings_[setting] = setting_text(pickle_, tree_.resolve(value, concat(what_, ".", setting)));
    }
  }

  const Pickle& pickle_;
  const ConfigTree tree_;
  const PickleId stored_;
  const std::string what_;
  FairseqSettings settings_;
};

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
  // As the reference: `args` of old files, else `cfg`.
  const char* kind = "args";
  PickleId stored = pickle.find(pickle.root(), kind);
  if (stored == kNoPickleId || pickle[stored].kind == PickleKind::kNone) {
    const PickleId args = stored;
    kind = "cfg";
    stored = pickle.find(pickle.root(), kind);
    if (stored == kNoPickleId || pickle[stored].kind == PickleKind::kNone) {
      part.missing = concat("it has no 'cfg', and 'args' is ", pickle.describe(args));
      return part;
    }
  }
  part.settings = SettingPicker(pickle, stored, concat(source, ": ", kind)).pick();
  if (part.settings.empty()) part.missing = concat("its '", kind, "' holds no settings of a model");
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

double SettingReader::real(const std::string& name, double absent) const {
  const std::string* text = find(name);
  if (text == nullptr) return absent;
  double value = 0.0;
  const char* end = text->data() + text->size();
  const auto result = std::from_chars(text->data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || !std::isfinite(value)) {
    refuse(name, "expected a finite number");
  }
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
