#include "launch/convert_options.h"

#include "launch/option_values.h"
#include "launch/run_options.h"

namespace switchyard {

OptionTable make_convert_option_table(ConvertOptions& options) {
  const auto set_shard_size = [&options](const std::string& text) {
    options.shard_bytes = parse_bytes(text, 1);
  };
  OptionGroup model = {"Model", {model_option(options.model)}};
  for (OptionSpec& option : quantization_options(options.quantization)) {
    model.options.push_back(std::move(option));
  }
  const OptionGroup files = {
      "Files",
      {{.name = "output",
        .value_name = "DIR",
        .help = "folder of the converted checkpoint, made where it is missing",
        .set = store_path(options.output, "a directory"),
        .need = OptionNeed::kRequired},
       {.name = "shard-size",
        .value_name = "BYTES",
        .default_text = "8GiB",
        .help = "most bytes of a file of experts",
        .set = set_shard_size}}};
  const OptionGroup operation = {
      "Operation",
      {threads_option(options.num_threads), log_level_option(options.log_level),
       progress_option(options.progress)}};
  return OptionTable("convert", "a checkpoint that runs read straight into memory",
                     {model, files, operation});
}

}  // namespace switchyard
