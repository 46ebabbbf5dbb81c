#include "launch/score_options.h"

#include "launch/device_options.h"
#include "launch/option_values.h"
#include "launch/run_options.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxTopLogprobs = int64_t{1} << 20;  // above any vocabulary

OptionGroup file_options(ScoreOptions& o) {
  return {"Files",
          {model_option(o.run.model),
           {.name = "input",
            .value_name = "IN.jsonl",
            .help = "requests, one JSON object a line; - reads standard input",
            .set = store_path(o.input, "a file or -"),
            .need = OptionNeed::kRequired},
           {.name = "output",
            .value_name = "OUT.jsonl",
            .help = "results, one a line in input order; - writes standard output",
            .set = store_path(o.output, "a file or -"),
            .need = OptionNeed::kRequired}}};
}

OptionGroup request_options(ScoreOptions& o) {
  return {
      "Requests and results",
      {{.name = "truncate",
        .value_name = "error|left",
        .default_text = "error",
        .help = "a sequence longer than the model's positions ends the run, or loses its left",
        .set = store_choice(o.truncate, {{"error", Truncate::kError}, {"left", Truncate::kLeft}})},
       {.name = "top-logprobs",
        .value_name = "K",
        .default_text = "0",
        .help = "adds the K most likely tokens at every position to the results",
        .set = store_whole_number(o.top_logprobs, 0, kMaxTopLogprobs)}}};
}

}  // namespace

OptionTable make_score_option_table(ScoreOptions& options) {
  return OptionTable("score", "exact log-probabilities of the tokens of every request",
                     {file_options(options), tokenizer_options(options.run.tokenizer),
                      request_options(options), numerics_options(options.run),
                      execution_options(options.run), tier_options(options.run.tiers),
                      device_options(options.run), operation_options(options.run)});
}

}  // namespace switchyard
