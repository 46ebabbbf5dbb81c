#include "launch/command.h"
#include "launch/command_options.h"
#include "launch/option_values.h"
#include "launch/run_options.h"
#include "runtime/tokenize.h"

namespace switchyard {
namespace {

OptionTable make_table(TokenizeOptions& o) {
  OptionSpec model = model_option(o.model);
  model.help = "folder with the tokenizer's files";
  const OptionGroup files = {"Files",
                             {model,
                              {.name = "input",
                               .value_name = "TEXTS.jsonl",
                               .help = "one {\"text\"} a line; - reads standard input",
                               .set = store_path(o.input, "a file or -"),
                               .need = OptionNeed::kRequired},
                              {.name = "output",
                               .value_name = "OUT.jsonl",
                               .help = "one {\"ids\", \"decoded\"} a line in input order; - writes "
                                       "standard output",
                               .set = store_path(o.output, "a file or -"),
                               .need = OptionNeed::kRequired}}};
  const OptionGroup operation = {"Operation",
                                 {threads_option(o.num_threads), log_level_option(o.log_level)}};
  return OptionTable("tokenize", "the token ids of texts, and their text again",
                     {files, tokenizer_options(o.tokenizer), operation});
}

}  // namespace

void run_tokenize_command(const std::vector<std::string>& arguments, Job& job) {
  TokenizeOptions options;
  OptionTable table = make_table(options);
  if (read_command_options(arguments, table, job) == NextStep::kDone) return;
  set_log_level(options.log_level);
  run_tokenize(options, job.control);
}

}  // namespace switchyard
