#include "launch/synthesize_options.h"

#include "launch/option_values.h"
#include "launch/run_options.h"

namespace switchyard {
namespace {

constexpr int64_t kMost = 65536;  // layers, experts, files

/// What `changes` must be to go with the preset is checked with the preset.
OptionGroup model_options(SynthesizeOptions& o) {
  PresetChanges& changes = o.changes;
  const auto store = [](std::optional<int64_t>& target) {
    return [&target](const std::string& text) { target = parse_whole_number(text, 1, kMost); };
  };
  const auto set_dtype = [&changes](const std::string& text) {
    changes.dtype = parse_choice<DType>(
        text, {{"fp16", DType::kF16}, {"bf16", DType::kBF16}, {"fp32", DType::kF32}});
  };
  const auto set_seed = [&o](const std::string& text) { o.seed = parse_seed(text); };
  return {
      "Model",
      {{.name = "preset",
        .value_name = "NAME|FILE",
        .help = "a built-in model, as moe_15b or mixtral_8x7b, or a YAML file (configs/README.md)",
        .set = store_path(o.preset, "a preset's name or a file"),
        .need = OptionNeed::kRequired},
       {.name = "layers",
        .value_name = "N",
        .default_text = "the preset's",
        .help = "that many layers, dense ones and such with experts in the preset's order",
        .set = store(changes.layers)},
       {.name = "experts",
        .value_name = "E",
        .default_text = "the preset's",
        .help = "of each layer that has experts",
        .set = store(changes.experts)},
       {.name = "dtype",
        .value_name = "TYPE",
        .default_text = "the preset's",
        .help = "of the weights: fp16, bf16 or fp32",
        .set = set_dtype},
       {.name = "set",
        .value_name = "JSON",
        .help = "entries for the config.json of a Hugging Face model; null takes one out",
        .set = store_path(changes.config_json, "a JSON object")},
       {.name = "seed",
        .value_name = "S",
        .default_text = "1",
        .help = "of the random weights",
        .set = set_seed}}};
}

OptionGroup file_options(SynthesizeOptions& o) {
  const auto set_rank_files = [&o](const std::string& text) {
    o.changes.rank_files = parse_whole_number(text, 1, kMost);
  };
  const auto set_shard_size = [&o](const std::string& text) {
    o.changes.shard_bytes = parse_bytes(text, 1);
  };
  return {"Files",
          {{.name = "output",
            .value_name = "DIR",
            .help = "folder of the checkpoint, made where it is missing",
            .set = store_path(o.output, "a directory"),
            .need = OptionNeed::kRequired},
           {.name = "rank-files",
            .value_name = "N",
            .default_text = "the preset's",
            .help = "fairseq: files that the experts are spread over; a divisor of their number",
            .set = set_rank_files},
           {.name = "shard-size",
            .value_name = "BYTES",
            .default_text = "the preset's",
            .help = "Hugging Face: most bytes of tensors of a file, as 5GiB",
            .set = set_shard_size}}};
}

}  // namespace

OptionTable make_synthesize_option_table(SynthesizeOptions& options) {
  return OptionTable("synthesize", "a checkpoint of a model's shape with random weights",
                     {model_options(options),
                      file_options(options),
                      {"Operation",
                       {threads_option(options.num_threads), log_level_option(options.log_level),
                        progress_option(options.progress)}}});
}

}  // namespace switchyard
