// Models described by a few lines of YAML: those of configs/models, built into the program, and
// the user's own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "runtime/checkpoint/fairseq_settings.h"
#include "runtime/hf_preset.h"
#include "runtime/model_config.h"

namespace switchyard {

struct ModelPreset {
  std::string name;            // as "moe_15b", or the file's path
  ModelConfig config;          // validated
  DType dtype = DType::kF16;   // of the weights in the files
  int64_t rank_files = 0;      // files that the experts are spread over; 0: a model without experts
  FairseqSettings settings{};  // the configuration as fairseq's files store it
  std::optional<HfPreset> hf = {};  // of a Hugging Face model, which has no rank_files, settings
};

/// What a command line changes in a preset; each is named --NAME in messages.
struct PresetChanges {
  std::optional<int64_t> layers = {}, experts = {};
  std::optional<int64_t> rank_files = {};  // of fairseq's models
  std::optional<DType> dtype = {};
  // Of Hugging Face's:
  std::optional<int64_t> shard_bytes = {};
  std::string config_json = {};  // entries for their config.json
};

/// The built-in presets' names, sorted.
std::vector<std::string> preset_names();

/// The YAML text of a built-in preset or, for anything with a slash or the ending .yaml or .yml, of
/// a file. Throws Error(kUsage) for an unknown name (with the nearest known), Error(kInput) for a
/// file that cannot be read.
std::string read_preset(const std::string& name_or_path);

/// The model that a preset's text describes, after the changes. `name` is the preset's name or the
/// file's path, for messages. Throws Error(kUsage) naming file, line and key (or the option of a
/// change) for unknown and missing keys and for values that are malformed, out of range or
/// contradict each other; Error(kInput) for a config.json that its family's reader refuses.
ModelPreset parse_preset(const std::string& text, const std::string& name,
                         const PresetChanges& changes = {});

/// read_preset() and parse_preset().
ModelPreset load_preset(const std::string& name_or_path, const PresetChanges& changes = {});

/// Elements of all tensors of the model, each once (a tied output matrix is the embedding).
int64_t num_parameters(const ModelConfig& config);

}  // namespace switchyard
