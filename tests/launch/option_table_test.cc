#include "launch/option_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "kernels/base/error.h"
#include "launch/perplexity_options.h"
#include "launch/report_options.h"
#include "launch/score_options.h"

namespace switchyard {
namespace {

/// Message of the Error(kUsage) that `work` must throw.
std::string usage_error(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

const std::vector<std::string> kRequired = {"--model", "m", "--input", "i", "--output", "o"};

ScoreOptions parse(std::vector<std::string> arguments, const std::string& config = "") {
  ScoreOptions options;
  OptionTable table = make_score_option_table(options);
  arguments.insert(arguments.begin(), kRequired.begin(), kRequired.end());
  table.apply(table.parse_config(config, "run.yaml"), table.parse_arguments(arguments).assignments);
  options.run.listing = table.listing();
  return options;
}

TEST(OptionTable, DefaultsAreTheDocumentedOnes) {
  const ScoreOptions options = parse({});
  EXPECT_EQ(options.run.model, "m");
  EXPECT_EQ(options.input, "i");
  EXPECT_EQ(options.output, "o");
  EXPECT_EQ(options.run.tokenizer.directory, "");
  EXPECT_EQ(options.run.tokenizer.newlines, Newlines::kKeep);
  EXPECT_EQ(options.run.tokenizer.special_tokens, SpecialTokens::kAdd);
  EXPECT_EQ(options.truncate, Truncate::kError);
  EXPECT_EQ(options.run.num_threads, 0);
  EXPECT_EQ(options.run.max_batch_tokens, std::nullopt);
  EXPECT_EQ(options.run.exchange_buffer_bytes, 64 << 20);
  EXPECT_EQ(options.run.exchange_timeout_seconds, 1800.0);
  EXPECT_EQ(options.run.numerics, "auto");
  EXPECT_EQ(options.run.backend, BackendKind::kAuto);
  EXPECT_EQ(options.run.log_level, LogLevel::kInfo);
}

TEST(OptionTable, EveryOptionIsStored) {
  const ScoreOptions options = parse({"--tokenizer",
                                      "t",
                                      "--dict",
                                      "d",
                                      "--special-tokens",
                                      "none",
                                      "--newlines",
                                      "eos",
                                      "--truncate",
                                      "left",
                                      "--top-logprobs",
                                      "5",
                                      "--threads",
                                      "3",
                                      "--max-batch-tokens",
                                      "64",
                                      "--exchange-buffer",
                                      "64KiB",
                                      "--capacity",
                                      "none",
                                      "--placement",
                                      "p",
                                      "--exchange-timeout",
                                      "2.5",
                                      "--numerics",
                                      "cpu-fp32",
                                      "--instruction-set",
                                      "avx2",
                                      "--backend",
                                      "strict",
                                      "--log-level",
                                      "warning",
                                      "--strict-seed",
                                      "18446744073709551615"});
  EXPECT_EQ(options.run.tokenizer.directory, "t");
  EXPECT_EQ(options.run.tokenizer.dictionary, "d");
  EXPECT_EQ(options.run.tokenizer.special_tokens, SpecialTokens::kNone);
  EXPECT_EQ(options.run.tokenizer.newlines, Newlines::kEos);
  EXPECT_EQ(options.truncate, Truncate::kLeft);
  EXPECT_EQ(options.top_logprobs, 5);
  EXPECT_EQ(options.run.num_threads, 3);
  EXPECT_EQ(options.run.max_batch_tokens, 64);
  EXPECT_EQ(options.run.exchange_buffer_bytes, 65536);
  EXPECT_EQ(options.run.placement, "p");
  EXPECT_EQ(options.run.exchange_timeout_seconds, 2.5);
  EXPECT_EQ(options.run.numerics, "cpu-fp32");
  EXPECT_EQ(options.run.instruction_set, InstructionSet::kAvx2);
  EXPECT_EQ(options.run.backend, BackendKind::kStrict);
  EXPECT_EQ(options.run.strict_seed, UINT64_MAX);
  EXPECT_EQ(options.run.log_level, LogLevel::kWarning);
}

TEST(OptionTable, GpusAreChosenOrGiven) {
  const RunOptions chosen = parse({}).run;
  EXPECT_EQ(chosen.device.device, std::nullopt);
  EXPECT_EQ(chosen.device.sharing, DeviceSharing::kRefused);
  EXPECT_EQ(chosen.transport, Transport::kAuto);
  const RunOptions given = parse({"--device", "3", "--share-devices", "--transport", "mpi"}).run;
  EXPECT_EQ(given.device.device, 3);
  EXPECT_EQ(given.device.sharing, DeviceSharing::kAllowed);
  EXPECT_EQ(given.transport, Transport::kMpi);
  EXPECT_EQ(parse({"--device", "auto"}, "device: 2\n").run.device.device, std::nullopt);
  EXPECT_THAT(usage_error([] { parse({"--device", "-1"}); }), testing::HasSubstr("--device"));
  EXPECT_THAT(usage_error([] { parse({"--transport", "tcp"}); }), testing::HasSubstr("nccl"));
}

TEST(OptionTable, ExchangesAreChosenOrGiven) {
  const ExchangeRequest chosen = parse({}).run.exchange;
  EXPECT_EQ(chosen.kind, ExchangeKind::kAuto);
  EXPECT_EQ(chosen.ranks_per_node, std::nullopt);
  const ExchangeRequest given =
      parse({"--exchange", "two-level", "--ranks-per-node", "4"}).run.exchange;
  EXPECT_EQ(given.kind, ExchangeKind::kTwoLevel);
  EXPECT_EQ(given.ranks_per_node, 4);
  EXPECT_EQ(parse({"--exchange", "direct"}).run.exchange.kind, ExchangeKind::kDirect);
  EXPECT_THAT(usage_error([] { parse({"--exchange", "ring"}); }), testing::HasSubstr("two-level"));
  EXPECT_THAT(usage_error([] {
                parse({"--ranks-per-node", "0"});
              }),
              testing::HasSubstr("--ranks-per-node"));
}

TEST(OptionTable, ReportsGoToFiles) {
  const ScoreOptions options = parse({"--stats", "s.json", "--trace", "t.json"});
  EXPECT_EQ(options.run.stats_file, "s.json");
  EXPECT_EQ(options.run.trace_file, "t.json");
  EXPECT_EQ(parse({}).run.stats_file, "");
  for (const char* option : {"--stats", "--trace"}) {
    EXPECT_THAT(usage_error([&] {
                  parse({option, "-"});
                }),
                testing::HasSubstr("a file: standard output is for results"));
  }
}

TEST(OptionTable, WeightFormsAreStored) {
  EXPECT_EQ(parse({}).run.quantization, WeightQuantization());
  EXPECT_EQ(parse({"--expert-dtype", "stored"}).run.quantization, WeightQuantization());
  EXPECT_EQ(parse({"--expert-dtype", "int4"}).run.quantization, (WeightQuantization{{4, 64}, {}}));
  EXPECT_EQ(parse({"--attention-dtype=int8:g64"}, "expert-dtype: int2\n").run.quantization,
            (WeightQuantization{{2, 16}, {8, 64}}));
  const std::string text = usage_error([] { parse({"--expert-dtype", "fp16"}); });
  for (const char* part : {"--expert-dtype", "fp16", "stored", "int8, int4, int3 or int2"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(OptionTable, ReportTakesFilesWithoutAName) {
  ReportOptions options;
  OptionTable table = make_report_option_table(options);
  const auto apply = [&](const std::vector<std::string>& arguments) {
    options = {};
    table = make_report_option_table(options);
    table.apply({}, table.parse_arguments(arguments).assignments);
  };
  apply({"a.json", "--output", "p.html", "b.json", "--window", "0.5,1"});
  EXPECT_EQ(options.files, (std::vector<std::string>{"a.json", "b.json"}));
  EXPECT_EQ(options.output, "p.html");
  EXPECT_EQ(options.window, (TimeWindow{0.5, 1.0}));
  EXPECT_THAT(table.shared_text(), testing::HasSubstr("file a.json\nfile b.json\n"));
  EXPECT_THAT(table.help_text(), testing::HasSubstr("usage: switchyard report FILE.json..."));
  apply({"a.json"});
  EXPECT_EQ(options.output, "report.html");
  EXPECT_THAT(usage_error([&] { apply({}); }), testing::HasSubstr("report needs FILE.json...: "));
  for (const char* window : {"1", "1,", "2,1", "1,1", "-1,2", "a,b", "1,2,3"}) {
    EXPECT_THAT(usage_error([&] {
                  apply({"a.json", "--window", window});
                }),
                testing::HasSubstr("two numbers of seconds"));
  }
  EXPECT_THAT(usage_error([&] { apply({""}); }), testing::HasSubstr("file is ''; expected a file"));
}

TEST(OptionTable, CapacityOptionsAreStored) {
  EXPECT_EQ(parse({}).run.capacity.mode, Capacity::kNone);
  EXPECT_FALSE(parse({"--capacity", "reference"}).run.capacity.fraction);
  const CapacityOptions capacity = parse({"--capacity", "reference", "--capacity-fraction", "-1.0",
                                          "--batch-size", "3", "--pad-batch-to", "4"})
                                       .run.capacity;
  EXPECT_EQ(capacity.mode, Capacity::kReference);
  EXPECT_EQ(capacity.fraction, -1.0);
  EXPECT_EQ(capacity.batch_size, 3);
  EXPECT_EQ(capacity.pad_batch_to, 4);
  EXPECT_EQ(parse({"--capacity-fraction=0.05"}, "capacity: reference\n").run.capacity.fraction,
            0.05);
}

TEST(OptionTable, CapacityOptionsThatContradictEachOtherAreRefused) {
  for (const char* name : {"capacity-fraction", "batch-size", "pad-batch-to"}) {
    const std::string text = usage_error([&] { parse({concat("--", name), "1"}); });
    EXPECT_EQ(text, concat("--", name, " has no effect without --capacity reference, which it ",
                           "belongs to; add that or leave this out"));
    const std::string source = concat(name, " in run.yaml, line 2");
    EXPECT_EQ(usage_error([&] {
                parse({"--capacity", "none"}, concat("capacity: reference\n", name, ": 1\n"));
              }).find(source),
              0u);
  }
  EXPECT_NE(usage_error([] {
              parse({"--capacity", "reference", "--batch-size", "3", "--pad-batch-to", "2"});
            }).find("--pad-batch-to is less than the batch of --batch-size 3"),
            std::string::npos);
  EXPECT_EQ(parse({"--capacity", "reference", "--batch-size", "3", "--pad-batch-to", "0"})
                .run.capacity.pad_batch_to,
            0);
}

PerplexityOptions parse_perplexity(std::vector<std::string> arguments,
                                   const std::string& config = "") {
  PerplexityOptions options;
  OptionTable table = make_perplexity_option_table(options);
  arguments.insert(arguments.begin(), {"--model", "m", "--input", "i"});
  table.apply(table.parse_config(config, "run.yaml"), table.parse_arguments(arguments).assignments);
  options.run.listing = table.listing();
  return options;
}

TEST(OptionTable, PerplexityHasItsOwnOptionsAndThoseOfARun) {
  const PerplexityOptions defaults = parse_perplexity({});
  EXPECT_EQ(defaults.output, "-");
  EXPECT_EQ(defaults.tokens_per_sample, 0);
  EXPECT_EQ(defaults.context_window, 0);
  EXPECT_EQ(defaults.break_mode, BreakMode::kNone);
  EXPECT_EQ(defaults.form, ResultForm::kTable);
  const PerplexityOptions options =
      parse_perplexity({"--tokens-per-sample", "128", "--context-window", "64", "--break-mode",
                        "complete", "--json", "--threads", "2", "--output", "o"});
  EXPECT_EQ(options.tokens_per_sample, 128);
  EXPECT_EQ(options.context_window, 64);
  EXPECT_EQ(options.break_mode, BreakMode::kComplete);
  EXPECT_EQ(options.form, ResultForm::kJson);
  EXPECT_EQ(options.run.num_threads, 2);
  EXPECT_EQ(options.output, "o");
  EXPECT_NE(usage_error([] {
              parse_perplexity({"--tokens-per-sample", "0"});
            }).find("from 1"),
            std::string::npos);
  EXPECT_NE(usage_error([] {
              parse_perplexity({"--break-mode", "line"});
            }).find("complete"),
            std::string::npos);
}

TEST(OptionTable, ASwitchIsGivenAloneOrAsTrue) {
  EXPECT_EQ(parse_perplexity({}, "json: true\n").form, ResultForm::kJson);
  EXPECT_EQ(parse_perplexity({"--json"}, "json: false\n").form, ResultForm::kJson);
  EXPECT_NE(usage_error([] { parse_perplexity({}, "json: yes\n"); }).find("one of true, false"),
            std::string::npos);
  EXPECT_NE(usage_error([] {
              parse_perplexity({"--json", "--json"});
            }).find("given twice"),
            std::string::npos);
  EXPECT_NE(usage_error([] {
              parse_perplexity({"--json", "true"});
            }).find("argument 'true'"),
            std::string::npos);
  EXPECT_THAT(parse_perplexity({"--json"}).run.listing,
              testing::Contains(std::pair<std::string, std::string>("json", "true")));
}

TEST(OptionTable, ADashIsAValueAndEqualSignsWork) {
  ScoreOptions options;
  OptionTable table = make_score_option_table(options);
  table.apply({}, table.parse_arguments({"--model=m", "--input", "-", "--output=-"}).assignments);
  EXPECT_EQ(options.input, "-");
  EXPECT_EQ(options.output, "-");
}

TEST(OptionTable, CommandLineBeatsFileBeatsDefault) {
  const std::string config = "max-batch-tokens: 77\nthreads: 2\ninput: from_file\n";
  const ScoreOptions options = parse({"--threads", "5"}, config);
  EXPECT_EQ(options.run.max_batch_tokens, 77);
  EXPECT_EQ(options.run.num_threads, 5);
  EXPECT_EQ(options.input, "i");
}

TEST(OptionTable, RequiredOptionsMayStandInTheFile) {
  ScoreOptions options;
  OptionTable table = make_score_option_table(options);
  table.apply(table.parse_config("model: a\ninput: \"-\"\noutput: b\n", "run.yaml"), {});
  EXPECT_EQ(options.run.model, "a");
  EXPECT_EQ(options.input, "-");
}

TEST(OptionTable, ListingHoldsValuesInForceAndDefaults) {
  const auto listing = parse({"--threads", "5"}, "newlines: eos\n").run.listing;
  const auto value_of = [&](const std::string& name) -> std::string {
    for (const auto& [key, value] : listing) {
      if (key == name) return value;
    }
    return "absent";
  };
  EXPECT_EQ(value_of("threads"), "5");
  EXPECT_EQ(value_of("newlines"), "eos");
  EXPECT_EQ(value_of("exchange-buffer"), "64MiB");
  EXPECT_EQ(value_of("model"), "m");
}

TEST(OptionTable, SharedTextLeavesOutWhatRanksMayChoose) {
  ScoreOptions options;
  OptionTable table = make_score_option_table(options);
  table.apply({}, table
                      .parse_arguments({"--model", "m", "--input", "i", "--output", "o",
                                        "--threads", "5", "--max-batch-tokens", "9"})
                      .assignments);
  const std::string shared = table.shared_text();
  EXPECT_NE(shared.find("max-batch-tokens 9\n"), std::string::npos);
  EXPECT_EQ(shared.find("\nthreads "), std::string::npos);
  EXPECT_NE(shared.find("\nload-threads "), std::string::npos);
  EXPECT_EQ(differing_lines("a 1\nb 2\n", "a 1\nb 3\n"), "'b 2', not 'b 3'");
}

TEST(OptionTable, UnknownOptionNamesTheNearest) {
  const std::string text = usage_error([] { parse({"--max-batch-token", "4"}); });
  EXPECT_EQ(text,
            "unknown option '--max-batch-token' (did you mean '--max-batch-tokens'?); "
            "'switchyard score --help' lists the options");
  EXPECT_NE(usage_error([] { parse({"--thraeds=4"}); }).find("'--threads'?"), std::string::npos);
  EXPECT_EQ(usage_error([] { parse({"--xyzzy", "1"}); }).find("did you mean"), std::string::npos);
}

TEST(OptionTable, BadCommandLinesAreRefused) {
  EXPECT_NE(usage_error([] {
              parse({"--threads", "1", "--threads", "1"});
            }).find("--threads is given twice"),
            std::string::npos);
  EXPECT_NE(usage_error([] { parse({"stray"}); }).find("unexpected argument 'stray'"),
            std::string::npos);
  EXPECT_NE(usage_error([] { parse({"--threads"}); }).find("--threads"), std::string::npos);
  EXPECT_NE(usage_error([] { parse({"-h"}); }).find("unexpected argument '-h'"), std::string::npos);
}

TEST(OptionTable, BadValuesNameOptionValueAndExpectation) {
  const auto message = [](const char* name, const char* value) {
    return usage_error([&] { parse({name, value}); });
  };
  EXPECT_EQ(message("--max-batch-tokens", "0"),
            "--max-batch-tokens is '0'; expected a whole number from 1 to 1073741824");
  EXPECT_EQ(message("--newlines", "EOS"), "--newlines is 'EOS'; expected one of eos, keep");
  EXPECT_EQ(message("--capacity", "2"), "--capacity is '2'; expected one of none, reference");
  for (const auto& [name, value] :
       std::vector<std::pair<const char*, const char*>>{{"--threads", "-1"},
                                                        {"--threads", "2x"},
                                                        {"--threads", "1.5"},
                                                        {"--exchange-buffer", "64KB"},
                                                        {"--exchange-buffer", "0"},
                                                        {"--exchange-buffer", "-1"},
                                                        {"--top-logprobs", "99999999999999999999"},
                                                        {"--exchange-timeout", "nan"},
                                                        {"--exchange-timeout", "-1"},
                                                        {"--numerics", "fp8"},
                                                        {"--strict-seed", "-1"},
                                                        {"--capacity-fraction", "inf"},
                                                        {"--capacity-fraction", "0.5x"},
                                                        {"--batch-size", "0"},
                                                        {"--pad-batch-to", "-1"},
                                                        {"--log-level", "loud"}}) {
    EXPECT_NE(message(name, value).find("expected"), std::string::npos) << name << value;
  }
}

TEST(OptionTable, MissingRequiredOptionsAreNamed) {
  const std::string text = usage_error([] {
    ScoreOptions options;
    OptionTable table = make_score_option_table(options);
    table.apply({}, table.parse_arguments({"--model", "m", "--output", "o"}).assignments);
  });
  EXPECT_NE(text.find("score needs --input IN.jsonl"), std::string::npos) << text;
}

TEST(OptionTable, BadConfigurationFilesNameTheLine) {
  const auto message = [](const char* config) { return usage_error([&] { parse({}, config); }); };
  EXPECT_EQ(message("threads: 2\nnewline: eos\n"),
            "run.yaml, line 2: unknown key 'newline' (did you mean 'newlines'?); the keys are the "
            "options of 'switchyard score --help'");
  EXPECT_NE(message("threads: 2\nthreads: 3\n").find("line 2: 'threads' is given twice"),
            std::string::npos);
  EXPECT_EQ(message("\nthreads: two\n"),
            "threads is 'two' in run.yaml, line 2; expected a whole number from 0 to 4096");
  EXPECT_NE(message("threads: [1, 2]\n").find("one plain value"), std::string::npos);
  EXPECT_NE(message("threads:\n").find("one plain value"), std::string::npos);
  EXPECT_NE(message("- threads\n").find("expected lines"), std::string::npos);
  EXPECT_NE(message("threads: 2\n\tx: [\n").find("run.yaml, line 2"), std::string::npos);
  EXPECT_NE(message("config: other.yaml\n").find("unknown key 'config'"), std::string::npos);
  EXPECT_NE(message("max_batch_tokens: 2\n").find("'max-batch-tokens'"), std::string::npos);
}

TEST(OptionTable, HelpNamesEveryOptionWithItsDefault) {
  ScoreOptions options;
  const OptionTable table = make_score_option_table(options);
  const std::string help = table.help_text();
  for (const auto& [name, value] : table.listing()) {
    EXPECT_NE(help.find("--" + name + " "), std::string::npos) << name;
  }
  EXPECT_NE(help.find("[default: 64MiB]"), std::string::npos);
  EXPECT_NE(help.find("--model DIR"), std::string::npos);
  EXPECT_TRUE(table.parse_arguments({"--help"}).wants_help);
  EXPECT_TRUE(table.parse_arguments({"--version"}).wants_version);
  EXPECT_EQ(table.parse_arguments({"--config", "f.yaml"}).config_path, "f.yaml");
}

TEST(ConfigFile, UnreadableFilesAreInputErrors) {
  for (const char* path : {"/nonexistent/run.yaml", "/", "/dev/zero"}) {
    try {
      read_config_file(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos);
    }
  }
  EXPECT_EQ(read_config_file("/dev/null"), "");
}

}  // namespace
}  // namespace switchyard
