#include "launch/generate_options.h"

#include <boost/json.hpp>

#include "launch/device_options.h"
#include "launch/option_values.h"
#include "launch/run_options.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 30;     // the model sets the true limit
constexpr int64_t kMaxResults = int64_t{1} << 20;    // of a prompt; above any use
constexpr int64_t kMaxBatchSize = int64_t{1} << 20;  // above any memory

void check_files(const OptionTable& table, GenerateOptions& o) {
  const Assignment* prompt = table.find_given("prompt");
  const Assignment* input = table.find_given("input");
  if (prompt != nullptr && input != nullptr) {
    fail_usage(describe_option(*prompt), " and ", describe_option(*input),
               " both say what to continue; leave one out");
  }
  if (prompt == nullptr && input == nullptr) {
    fail_usage("generate needs --input IN.jsonl or --prompt TEXT");
  }
  const bool is_stream = o.stream == TextStream::kStandardOutput;
  if (is_stream && o.output == "-") {
    fail_usage("--stream and --output - would both write to standard output; name a file for the ",
               "results, or leave --output out");
  }
  if (is_stream && o.rules.num_results > 1) {
    fail_usage(describe_option(*table.find_given("n")), " gives ", o.rules.num_results,
               " texts, but --stream shows one; leave one of them out");
  }
  if (!o.output.empty() || is_stream) return;
  if (prompt == nullptr) fail_usage("generate needs --output OUT.jsonl");
  o.output = "-";
}

OptionGroup file_options(GenerateOptions& o) {
  return {"Files",
          {model_option(o.run.model),
           {.name = "input",
            .value_name = "IN.jsonl",
            .help = "prompts, one JSON object a line; - reads standard input",
            .set = store_path(o.input, "a file or -")},
           {.name = "prompt",
            .value_name = "TEXT",
            .help = "a single prompt, instead of --input; its result goes to standard output if "
                    "--output names no file",
            .set = [&o](const std::string& text) { o.prompt = text; }},
           {.name = "output",
            .value_name = "OUT.jsonl",
            .help = "results, one a line in input order; - writes standard output",
            .set = store_path(o.output, "a file or -")},
           {.name = "stream",
            .default_text = "false",
            .help = "shows the text of a single prompt on standard output as it comes",
            .set = store_choice(
                o.stream, {{"true", TextStream::kStandardOutput}, {"false", TextStream::kNone}})}},
          [&o](const OptionTable& table) { check_files(table, o); }};
}

void check_lengths(const OptionTable& table, const GenerationRules& rules) {
  if (rules.min_new_tokens <= rules.max_new_tokens) return;
  fail_usage(describe_option(*table.find_given("min-new-tokens")), " is ", rules.min_new_tokens,
             ", more than --max-new-tokens ", rules.max_new_tokens);
}

OptionGroup length_options(GenerationRules& rules) {
  return {
      "Where a sequence ends",
      {{.name = "max-new-tokens",
        .value_name = "N",
        .default_text = "128",
        .help = "new tokens at most; fewer where the positions end",
        .set = store_whole_number(rules.max_new_tokens, 1, kMaxTokens)},
       {.name = "min-new-tokens",
        .value_name = "N",
        .default_text = "0",
        .help = "no end-of-sequence token comes before so many",
        .set = store_whole_number(rules.min_new_tokens, 0, kMaxTokens)},
       {.name = "max-length",
        .value_name = "N",
        .default_text = "0",
        .help = "positions of a prompt and its new tokens at most; 0: those of the model",
        .set = store_whole_number(rules.max_length, 0, kMaxTokens)},
       {.name = "stop",
        .value_name = "TEXT",
        .help = "the text ends before this; several: a JSON list, as '[\"\\n\\n\", \"END\"]'",
        .set = [&rules](const std::string& text) { rules.stops = parse_stops(text); }},
       {.name = "ignore-eos",
        .default_text = "false",
        .help = "an end-of-sequence token ends nothing",
        .set = store_choice(rules.eos, {{"true", EosRule::kIgnored}, {"false", EosRule::kEnds}})}},
      [&rules](const OptionTable& table) { check_lengths(table, rules); }};
}

/// Refuses options that contradict each other; without a temperature, sampling is at 1.
void check_sampling(const OptionTable& table, GenerationRules& rules) {
  const Assignment* greedy = table.find_given("greedy");
  const bool is_greedy = greedy != nullptr && greedy->value == "true";
  bool is_sampled = false;
  for (const char* name : {"temperature", "top-k", "top-p"}) {
    const Assignment* given = table.find_given(name);
    if (given == nullptr) continue;
    if (is_greedy) {
      fail_usage(describe_option(*given), " is about sampling, but ", describe_option(*greedy),
                 " takes the most likely token; leave one out");
    }
    is_sampled = true;
  }
  if (is_sampled && table.find_given("temperature") == nullptr) {
    rules.sampling.temperature = 1.0f;
  }
  if (rules.sampling.temperature > 0.0f) return;
  for (const char* name : {"seed", "n"}) {
    const Assignment* given = table.find_given(name);
    if (given == nullptr || (given->name == "n" && rules.num_results == 1)) continue;
    fail_usage(describe_option(*given), " has no effect where the most likely token is taken; add ",
               "--temperature, --top-k or --top-p, or leave it out");
  }
}

OptionGroup sampling_options(GenerationRules& rules) {
  SamplingOptions& sampling = rules.sampling;
  const auto set_temperature = [&sampling](const std::string& text) {
    const double value = parse_finite(text);
    if (value < 0 || value > 1e6) throw BadValue("a number from 0 to 1000000");
    sampling.temperature = static_cast<float>(value);
  };
  const auto set_top_p = [&sampling](const std::string& text) {
    const double value = parse_finite(text);
    if (!(value > 0 && value <= 1)) throw BadValue("a number above 0, at most 1");
    sampling.top_p = static_cast<float>(value);
  };
  const auto set_seed = [&sampling](const std::string& text) { sampling.seed = parse_seed(text); };
  // A word of its own for what holds anyway; check_sampling() sees whether it was given.
  const auto check_switch = [](const std::string& text) {
    parse_choice<int>(text, {{"true", 1}, {"false", 0}});
  };
  return {"Choice of tokens",
          {{.name = "greedy",
            .default_text = "true without the next three",
            .help = "the most likely token, the lower id at a tie",
            .set = check_switch},
           {.name = "temperature",
            .value_name = "T",
            .default_text = "1 with --top-k or --top-p",
            .help = "samples from the logits divided by this; 0: the most likely token",
            .set = set_temperature},
           {.name = "top-k",
            .value_name = "K",
            .default_text = "0",
            .help = "samples from the K most likely tokens; 0: from all",
            .set = store_whole_number(sampling.top_k, 0, kMaxTokens)},
           {.name = "top-p",
            .value_name = "P",
            .default_text = "1",
            .help = "samples from the fewest tokens whose probabilities reach P",
            .set = set_top_p},
           {.name = "seed",
            .value_name = "S",
            .default_text = "0",
            .help = "of the random numbers, which depend on this, the request's id and the token",
            .set = set_seed},
           {.name = "n",
            .value_name = "N",
            .default_text = "1",
            .help = "results of each prompt, on lines of their own, told apart by \"index\"",
            .set = store_whole_number(rules.num_results, 1, kMaxResults)},
           {.name = "logprobs",
            .default_text = "false",
            .help = "adds the log-probs of the new tokens, as `score` gives them",
            .set = store_choice(rules.logprobs, {{"true", TokenLogprobs::kAdded},
                                                 {"false", TokenLogprobs::kLeftOut}})}},
          [&rules](const OptionTable& table) { check_sampling(table, rules); }};
}

OptionGroup batch_options(BatchOptions& batch) {
  const auto set_page_size = [&batch](const std::string& text) {
    const int64_t size = parse_whole_number(text, kKeysPerPage, kMaxTokens);
    if (size % kKeysPerPage != 0) throw BadValue(concat("a multiple of ", kKeysPerPage));
    batch.page_size = size;
  };
  return {"Batches (no result depends on these)",
          {{.name = "batch-size",
            .value_name = "B",
            .default_text = "32",
            .help = "sequences that a rank runs at a time",
            .set = store_whole_number(batch.batch_size, 1, kMaxBatchSize)},
           {.name = "prefill-chunk",
            .value_name = "N",
            .default_text = "512",
            .help = "rows of one prompt in one step",
            .set = store_whole_number(batch.prefill_chunk, 1, kMaxTokens)},
           {.name = "page-size",
            .value_name = "N",
            .default_text = "64",
            .help = "positions of a block of keys and values, a multiple of 64",
            .set = set_page_size}}};
}

}  // namespace

std::vector<std::string> parse_stops(const std::string& text) {
  constexpr const char* kExpected = "a text that is not empty, or a JSON list of such texts";
  std::vector<std::string> stops;
  if (!text.starts_with('[')) {
    stops.push_back(text);
  } else {
    boost::system::error_code error;
    const boost::json::value value = boost::json::parse(text, error);
    if (error || !value.is_array()) throw BadValue(kExpected);
    for (const boost::json::value& stop : value.get_array()) {
      if (!stop.is_string()) throw BadValue(kExpected);
      stops.emplace_back(stop.get_string());
    }
  }
  for (const std::string& stop : stops) {
    if (stop.empty()) throw BadValue(kExpected);
  }
  return stops;
}

OptionTable make_generate_option_table(GenerateOptions& options) {
  OptionGroup execution = execution_options(options.run);
  execution.options.push_back(decode_graphs_option(options.run.graphs));
  return OptionTable(
      "generate", "continuations of prompts, one token after the other",
      {file_options(options), length_options(options.rules), sampling_options(options.rules),
       batch_options(options.batch), tokenizer_options(options.run.tokenizer),
       generation_numerics_options(options.run), std::move(execution),
       tier_options(options.run.tiers), device_options(options.run),
       operation_options(options.run)});
}

}  // namespace switchyard
