// Presets of Hugging Face models: a config.json in YAML, and how the files are laid out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "runtime/families/hf_model_config.h"

namespace switchyard {

/// A model and the folder it is to be written as.
struct HfPreset {
  HfModel model;                        // validated
  DType dtype = DType::kBF16;           // of what is not quantised: torch_dtype, dtype
  std::string config_text;              // of config.json
  std::string generation_text;          // of generation_config.json; empty: none
  std::string variant;                  // of the family's tensors; empty: the first
  int64_t shard_bytes = 5'000'000'000;  // of the tensors of a file, unless one alone has more
  /// What --layers and --experts changed beside what they name, for people.
  std::vector<std::string> notes;
};

/// What a command line changes in such a preset.
struct HfPresetChanges {
  std::optional<int64_t> layers = {}, experts = {}, shard_bytes = {};
  std::optional<DType> dtype = {};  // of all tensors: a quantised model is written plainly
  std::string config_json;  // an object whose entries take config.json's place; null removes
};

/// Whether a preset's text says `family: huggingface`. Throws Error(kUsage) as parse_hf_preset.
bool is_hf_preset(const std::string& text, const std::string& name);

/// The model that a preset's text describes, after the changes: the JSON's, then layers, experts
/// and type. Fewer layers cut the lists of layers and bring the first with experts forward; more
/// repeat the lists' pattern; fewer experts make groups and experts per token fewer where they
/// must. Throws Error(kUsage) naming file, line and key, or the option, for the preset's own keys,
/// and Error(kInput) naming file, line and the key of config.json as reading the model would.
HfPreset parse_hf_preset(const std::string& text, const std::string& name,
                         const HfPresetChanges& changes);

}  // namespace switchyard
