#include "launch/perplexity_options.h"

#include "launch/device_options.h"
#include "launch/option_values.h"
#include "launch/run_options.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 30;  // the model sets the true limit

OptionGroup file_options(PerplexityOptions& o) {
  return {"Files",
          {model_option(o.run.model),
           {.name = "input",
            .value_name = "FILE",
            .help = "a text file, or *.jsonl with a document {\"text\"} a line; - reads a text "
                    "from standard input",
            .set = store_path(o.input, "a file or -"),
            .need = OptionNeed::kRequired},
           {.name = "output",
            .value_name = "OUT",
            .default_text = "-",
            .help = "the result; - writes standard output",
            .set = store_path(o.output, "a file or -")},
           json_option(o.form)}};
}

OptionGroup block_options(PerplexityOptions& o) {
  return {"Blocks",
          {{.name = "tokens-per-sample",
            .value_name = "N",
            .default_text = "the model's positions",
            .help = "tokens that the model sees at once: a block and its context window",
            .set = store_whole_number(o.tokens_per_sample, 1, kMaxTokens)},
           {.name = "context-window",
            .value_name = "W",
            .default_text = "0",
            .help = "earlier tokens that each block sees and does not score again",
            .set = store_whole_number(o.context_window, 0, kMaxTokens)},
           {.name = "break-mode",
            .value_name = "MODE",
            .default_text = "none",
            .help = "where blocks end: none, after N - W tokens; complete, where the last whole "
                    "line ends; eos, after every line",
            .set = store_choice(o.break_mode, {{"none", BreakMode::kNone},
                                               {"complete", BreakMode::kComplete},
                                               {"eos", BreakMode::kEos}})}}};
}

}  // namespace

OptionTable make_perplexity_option_table(PerplexityOptions& options) {
  return OptionTable("perplexity", "how well a model predicts a text",
                     {file_options(options), block_options(options),
                      tokenizer_options(options.run.tokenizer), numerics_options(options.run),
                      execution_options(options.run), tier_options(options.run.tiers),
                      device_options(options.run), operation_options(options.run)});
}

}  // namespace switchyard
