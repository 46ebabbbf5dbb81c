#include "launch/command.h"

namespace switchyard {

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"score", "exact log-probabilities of the tokens of every request", run_score_command},
      {"generate", "continuations of prompts, one token after the other", run_generate_command},
      {"perplexity", "how well a model predicts a text", run_perplexity_command},
      {"tokenize", "the token ids of texts, and their text again", run_tokenize_command},
      {"inspect", "what a checkpoint is, from its headers alone", run_inspect_command},
      {"convert", "a checkpoint that runs read straight into memory", run_convert_command},
      {"synthesize", "a checkpoint of a model's shape with random weights", run_synthesize_command},
      {"bench", "speed of experts and exchanges beside copies and matmuls, checked",
       run_bench_command},
      {"report", "a page of pictures about runs, from their --stats and --trace files",
       run_report_command},
      {"version", "version and features of this build; also --version", run_version_command},
      {"help", "this text; also --help", run_help_command},
  };
  return all;
}

}  // namespace switchyard
