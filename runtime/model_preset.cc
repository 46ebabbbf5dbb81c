#include "runtime/model_preset.h"

#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/nearest_name.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/embedded_files.h"
#include "runtime/fairseq_preset.h"
#include "runtime/preset_reader.h"
#include "runtime/tokenizer/text_file.h"

namespace switchyard {
namespace {

constexpr double kMostParameters = 0x1p50;  // 2 PB of fp16: sizes in bytes stay below 2^63

/// Elements of all tensors, in floating point: it cannot overflow. By tensor.
double count_elements(const ModelConfig& config) {
  double total = 0.0;
  visit_expected_tensors(config, [&](const ExpectedTensor& tensor) {
    double elements = 1.0;
    for (const int64_t size : tensor.shape) elements *= static_cast<double>(size);
    total += elements;
  });
  return total;
}

/// The same by fairseq's few sizes, at once also where there are millions of experts.
double count_parameters(const ModelConfig& config) {
  if (config.family != "fairseq") return count_elements(config);
  const auto width = static_cast<double>(config.hidden_size);
  const auto ffn = [&](int64_t size) {
    return (2.0 * width + 1.0) * static_cast<double>(size) + width;
  };
  const double tables = config.names.output == config.names.embedding ? 1.0 : 2.0;
  double total = tables * static_cast<double>(config.vocab_size) * width;
  if (config.position_kind == PositionKind::kLearned) {
    total += static_cast<double>(config.max_positions + config.position_offset) * width;
  }
  if (config.final_norm == FinalNorm::kApplied) total += 2.0 * width;
  const auto layers = static_cast<double>(config.num_layers());
  const auto moe_layers = static_cast<double>(config.num_moe_layers());
  const auto experts = static_cast<double>(config.router.num_experts);
  total += layers * (4.0 * width + 4.0 * (width * width + width));
  total += (layers - moe_layers) * ffn(config.ffn_size);
  return total + moe_layers * experts * (width + ffn(config.expert_ffn_size));
}

ModelPreset parse_hf(const std::string& text, const std::string& name,
                     const PresetChanges& changes) {
  if (changes.rank_files) {
    fail_usage("--rank-files: ", name, " is a Hugging Face model, whose files --shard-size cuts");
  }
  ModelPreset preset;
  preset.name = name;
  preset.hf = parse_hf_preset(text, name,
                              {.layers = changes.layers,
                               .experts = changes.experts,
                               .shard_bytes = changes.shard_bytes,
                               .dtype = changes.dtype,
                               .config_json = changes.config_json});
  preset.config = preset.hf->model.config;
  preset.dtype = preset.hf->dtype;
  preset.config.weight_dtype = preset.dtype;
  // Two types of matrices.
  if (preset.hf->model.quantization == Quantization::kFp8Block) preset.config.weight_dtype.reset();
  return preset;
}

ModelPreset parse_fairseq(const std::string& text, const std::string& name,
                          const PresetChanges& changes) {
  if (changes.shard_bytes || !changes.config_json.empty()) {
    fail_usage(changes.shard_bytes ? "--shard-size" : "--set", ": ", name,
               " is a fairseq model; this is for those of Hugging Face");
  }
  PresetReader reader(text, name, fairseq_preset_keys());
  const auto change = [&](const char* key, const std::optional<int64_t>& value) {
    if (value) reader.replace(key, std::to_string(*value));
  };
  change("layers", changes.layers);
  change("experts", changes.experts);
  change("rank_files", changes.rank_files);
  if (changes.dtype) reader.replace("dtype", std::string(name_of(*changes.dtype)));
  reader.choice<bool>("family", {{"fairseq", true}, {"huggingface", true}});
  return build_fairseq_preset(reader);
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, text] : embedded_presets()) names.emplace_back(name);
  return names;
}

std::string read_preset(const std::string& name_or_path) {
  for (const auto& [name, text] : embedded_presets()) {
    if (name == name_or_path) return std::string(text);
  }
  const auto is_path = [](std::string_view text) {
    return text.find('/') != std::string_view::npos || text.ends_with(".yaml") ||
           text.ends_with(".yml");
  };
  if (is_path(name_or_path)) {
    return read_text_file(name_or_path, "expected a YAML file that describes a model");
  }
  std::string known;
  for (const std::string& name : preset_names()) known += concat(known.empty() ? "" : ", ", name);
  fail_usage("unknown preset '", name_or_path, "'", suggestion(name_or_path, preset_names()),
             "; expected one of ", known, ", or a file whose name ends in .yaml");
}

ModelPreset parse_preset(const std::string& text, const std::string& name,
                         const PresetChanges& changes) {
  ModelPreset preset =
      is_hf_preset(text, name) ? parse_hf(text, name, changes) : parse_fairseq(text, name, changes);
  if (count_parameters(preset.config) > kMostParameters) {
    fail_usage(name, ": the sizes make a model of ", count_parameters(preset.config),
               " parameters; expected at most ", kMostParameters);
  }
  return preset;
}

ModelPreset load_preset(const std::string& name_or_path, const PresetChanges& changes) {
  return parse_preset(read_preset(name_or_path), name_or_path, changes);
}

int64_t num_parameters(const ModelConfig& config) {
  return static_cast<int64_t>(count_parameters(config));
}

}  // namespace switchyard
