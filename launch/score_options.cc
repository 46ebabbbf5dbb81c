#include "launch/score_options.h"

#include "launch/option_values.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxThreads = 4096;                  // far above any machine
constexpr int64_t kMaxBatchTokens = int64_t{1} << 30;  // above any memory
constexpr int64_t kMaxTopLogprobs = int64_t{1} << 20;  // above any vocabulary
constexpr int64_t kSmallestExchangeBuffer = 1;         // the model sets the true limit

OptionGroup file_options(ScoreOptions& o) {
  return {"Files",
          {{.name = "model",
            .value_name = "DIR",
            .help = "directory of the checkpoint",
            .set = store_path(o.model, "a directory"),
            .need = OptionNeed::kRequired},
           {.name = "input",
            .value_name = "IN.jsonl",
            .help = "requests, one JSON object a line; - reads standard input",
            .set = store_path(o.input, "a file or -"),
            .need = OptionNeed::kRequired},
           {.name = "output",
            .value_name = "OUT.jsonl",
            .help = "results, one a line in input order; - writes standard output",
            .set = store_path(o.output, "a file or -"),
            .need = OptionNeed::kRequired},
           {.name = "tokenizer",
            .value_name = "DIR",
            .default_text = "the model's directory",
            .help = "directory with encoder.json and vocab.bpe",
            .set = store_path(o.tokenizer_dir, "a directory")},
           {.name = "dict",
            .value_name = "FILE",
            .default_text = "dict.txt in the model's directory",
            .help = "dictionary of a fairseq model",
            .set = store_path(o.dictionary, "a file")}}};
}

OptionGroup request_options(ScoreOptions& o) {
  return {
      "Requests and results",
      {{.name = "special-tokens",
        .value_name = "add|none",
        .default_text = "add",
        .help = "what the tokenizer's post-processor adds to a text; fairseq's adds nothing",
        .set = store_choice(o.special_tokens,
                            {{"add", SpecialTokens::kAdd}, {"none", SpecialTokens::kNone}})},
       {.name = "newlines",
        .value_name = "eos|keep",
        .default_text = "keep",
        .help = "line ends of a text become </s>, or are encoded like any character",
        .set = store_choice(o.newlines, {{"eos", Newlines::kEos}, {"keep", Newlines::kKeep}})},
       {.name = "truncate",
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

OptionGroup numerics_options(ScoreOptions& o) {
  return {"Numbers",
          {{.name = "numerics",
            .value_name = "CLASS",
            .default_text = "auto",
            .help = "arithmetic class: auto or cpu-fp32",
            .set = store_choice(o.numerics, {{"auto", "auto"}, {"cpu-fp32", "cpu-fp32"}})},
           {.name = "capacity",
            .value_name = "none",
            .default_text = "none",
            .help = "rows an expert takes from a batch; none: all that are routed to it",
            .set = store_choice(o.capacity, {{"none", Capacity::kNone}})}}};
}

OptionGroup execution_options(ScoreOptions& o) {
  const auto set_threads = [&o](const std::string& text) {
    o.num_threads = text == "auto" ? 0 : static_cast<int>(parse_whole_number(text, 0, kMaxThreads));
  };
  const auto set_exchange_buffer = [&o](const std::string& text) {
    o.exchange_buffer_bytes = parse_bytes(text, kSmallestExchangeBuffer);
  };
  return {"Execution (no result depends on these)",
          {{.name = "threads",
            .value_name = "N",
            .default_text = "auto",
            .help = "threads of each rank; auto: its cores, shared by the ranks that may use them",
            .set = set_threads,
            .scope = OptionScope::kRank},
           {.name = "max-batch-tokens",
            .value_name = "N",
            .default_text = "4096",
            .help = "rows of one rank in one step; a longer sequence runs alone",
            .set = store_whole_number(o.max_batch_tokens, 1, kMaxBatchTokens)},
           {.name = "exchange-buffer",
            .value_name = "BYTES",
            .default_text = "64MiB",
            .help = "memory of each rank for rows between ranks; a smaller one takes more rounds",
            .set = set_exchange_buffer},
           {.name = "placement",
            .value_name = "FILE",
            .default_text = "contiguous",
            .help = "which rank holds which expert",
            .set = store_path(o.placement, "a file")},
           {.name = "instruction-set",
            .value_name = "SET",
            .default_text = "auto",
            .help = "auto, avx512, avx2 or portable",
            .set = store_choice(o.instruction_set, {{"auto", InstructionSet::kAuto},
                                                    {"avx512", InstructionSet::kAvx512},
                                                    {"avx2", InstructionSet::kAvx2},
                                                    {"portable", InstructionSet::kPortable}}),
            .scope = OptionScope::kRank}}};
}

OptionGroup operation_options(ScoreOptions& o) {
  const auto set_timeout = [&o](const std::string& text) {
    o.exchange_timeout_seconds = parse_seconds(text);
  };
  const auto set_seed = [&o](const std::string& text) { o.strict_seed = parse_seed(text); };
  return {
      "Operation",
      {{.name = "log-level",
        .value_name = "LEVEL",
        .default_text = "info",
        .help = "error, warning, info or debug; progress is shown from info on",
        .set = store_choice(o.log_level, {{"error", LogLevel::kError},
                                          {"warning", LogLevel::kWarning},
                                          {"info", LogLevel::kInfo},
                                          {"debug", LogLevel::kDebug}}),
        .scope = OptionScope::kRank},
       {.name = "progress",
        .value_name = "FORM",
        .default_text = "auto",
        .help =
            "bar, lines or none; auto: a bar on a terminal (mpirun hides it: say bar), else lines",
        .set = store_choice(o.progress, {{"auto", ProgressForm::kAuto},
                                         {"bar", ProgressForm::kBar},
                                         {"lines", ProgressForm::kLines},
                                         {"none", ProgressForm::kNone}}),
        .scope = OptionScope::kRank},
       {.name = "exchange-timeout",
        .value_name = "SECONDS",
        .default_text = "1800",
        .help = "ends the job when one exchange takes longer; 0: never",
        .set = set_timeout},
       {.name = "backend",
        .value_name = "KIND",
        .default_text = "auto",
        .help = "auto, cpu, or strict: the cpu behind a device-like schedule, for tests",
        .set = store_choice(o.backend, {{"auto", BackendKind::kAuto},
                                        {"cpu", BackendKind::kCpu},
                                        {"strict", BackendKind::kStrict}})},
       {.name = "strict-seed",
        .value_name = "N",
        .default_text = "1",
        .help = "seed of the strict backend's delays",
        .set = set_seed}}};
}

}  // namespace

OptionTable make_score_option_table(ScoreOptions& options) {
  return OptionTable("score", "exact log-probabilities of the tokens of every request",
                     {file_options(options), request_options(options), numerics_options(options),
                      execution_options(options), operation_options(options)});
}

}  // namespace switchyard
