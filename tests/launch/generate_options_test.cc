#include "launch/generate_options.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"
#include "kernels/base/value_text.h"

namespace switchyard {
namespace {

using Arguments = std::vector<std::string>;

GenerateOptions parse(const Arguments& arguments, const std::string& config = "") {
  GenerateOptions options;
  OptionTable table = make_generate_option_table(options);
  table.apply(table.parse_config(config, "run.yaml"), table.parse_arguments(arguments).assignments);
  return options;
}

const Arguments kFiles = {"--model", "m", "--input", "i", "--output", "o"};

GenerateOptions parse_more(const Arguments& more, const std::string& config = "") {
  Arguments arguments = kFiles;
  arguments.insert(arguments.end(), more.begin(), more.end());
  return parse(arguments, config);
}

TEST(GenerateOptions, DefaultsAreTheDocumentedOnes) {
  const GenerateOptions options = parse_more({});
  EXPECT_EQ(options.input, "i");
  EXPECT_EQ(options.output, "o");
  EXPECT_FALSE(options.prompt);
  EXPECT_EQ(options.stream, TextStream::kNone);
  EXPECT_EQ(options.rules.max_new_tokens, 128);
  EXPECT_EQ(options.rules.min_new_tokens, 0);
  EXPECT_EQ(options.rules.max_length, 0);
  EXPECT_TRUE(options.rules.stops.empty());
  EXPECT_EQ(options.rules.eos, EosRule::kEnds);
  EXPECT_EQ(options.rules.sampling.temperature, 0.0f);
  EXPECT_EQ(options.rules.num_results, 1);
  EXPECT_EQ(options.rules.logprobs, TokenLogprobs::kLeftOut);
  EXPECT_EQ(options.batch.batch_size, 32);
  EXPECT_EQ(options.batch.prefill_chunk, 512);
  EXPECT_EQ(options.batch.page_size, 64);
  EXPECT_EQ(options.run.capacity.mode, Capacity::kNone);
}

TEST(GenerateOptions, EveryOptionIsStored) {
  const GenerateOptions options = parse_more({"--max-new-tokens",
                                              "40",
                                              "--min-new-tokens",
                                              "7",
                                              "--max-length",
                                              "99",
                                              "--stop",
                                              "END",
                                              "--ignore-eos",
                                              "--temperature",
                                              "0.5",
                                              "--top-k",
                                              "3",
                                              "--top-p",
                                              "0.75",
                                              "--seed",
                                              "9",
                                              "--n",
                                              "4",
                                              "--logprobs",
                                              "--batch-size",
                                              "5",
                                              "--prefill-chunk",
                                              "6",
                                              "--page-size",
                                              "128",
                                              "--capacity",
                                              "none",
                                              "--threads",
                                              "2"});
  EXPECT_EQ(options.rules.max_new_tokens, 40);
  EXPECT_EQ(options.rules.min_new_tokens, 7);
  EXPECT_EQ(options.rules.max_length, 99);
  EXPECT_EQ(options.rules.stops, Arguments{"END"});
  EXPECT_EQ(options.rules.eos, EosRule::kIgnored);
  EXPECT_EQ(options.rules.sampling.temperature, 0.5f);
  EXPECT_EQ(options.rules.sampling.top_k, 3);
  EXPECT_EQ(options.rules.sampling.top_p, 0.75f);
  EXPECT_EQ(options.rules.sampling.seed, 9u);
  EXPECT_EQ(options.rules.num_results, 4);
  EXPECT_EQ(options.rules.logprobs, TokenLogprobs::kAdded);
  EXPECT_EQ(options.batch.batch_size, 5);
  EXPECT_EQ(options.batch.prefill_chunk, 6);
  EXPECT_EQ(options.batch.page_size, 128);
  EXPECT_EQ(options.run.num_threads, 2);
}

TEST(GenerateOptions, AnySamplingOptionSamples) {
  EXPECT_EQ(parse_more({"--top-k", "3"}).rules.sampling.temperature, 1.0f);
  EXPECT_EQ(parse_more({"--top-p", "0.5"}).rules.sampling.temperature, 1.0f);
  EXPECT_EQ(parse_more({"--temperature", "0", "--top-k", "3"}).rules.sampling.temperature, 0.0f);
  EXPECT_EQ(parse_more({"--greedy"}).rules.sampling.temperature, 0.0f);
  EXPECT_EQ(parse_more({"--top-k", "3"}, "greedy: false\n").rules.sampling.temperature, 1.0f);
  EXPECT_EQ(parse_more({"--n", "1"}).rules.num_results, 1);
}

TEST(GenerateOptions, APromptOfTheCommandLine) {
  const GenerateOptions result = parse({"--model", "m", "--prompt", "a b"});
  EXPECT_EQ(result.prompt, "a b");
  EXPECT_EQ(result.output, "-");
  const GenerateOptions stream = parse({"--model", "m", "--prompt", "a b", "--stream"});
  EXPECT_EQ(stream.stream, TextStream::kStandardOutput);
  EXPECT_EQ(stream.output, "");
  EXPECT_EQ(parse_more({"--stream"}).output, "o");
}

TEST(GenerateOptions, ContradictionsAreRefused) {
  const std::pair<Arguments, const char*> cases[] = {
      {{"--model", "m", "--output", "o"}, "--input IN.jsonl or --prompt TEXT"},
      {{"--model", "m", "--input", "i"}, "needs --output"},
      {{"--model", "m", "--input", "i", "--prompt", "a"}, "both say what to continue"},
      {{"--model", "m", "--prompt", "a", "--stream", "--output", "-"}, "both write to standard"},
      {{"--model", "m", "--prompt", "a", "--stream", "--top-k", "2", "--n", "2"}, "shows one"},
      {{"--model", "m", "--prompt", "a", "--greedy", "--top-k", "2"}, "--top-k is about sampling"},
      {{"--model", "m", "--prompt", "a", "--greedy", "--temperature", "0"}, "leave one out"},
      {{"--model", "m", "--prompt", "a", "--seed", "1"}, "--seed has no effect"},
      {{"--model", "m", "--prompt", "a", "--n", "2"}, "--n has no effect"},
      {{"--model", "m", "--prompt", "a", "--min-new-tokens", "129"}, "more than --max-new-tokens"},
      {{"--model", "m", "--prompt", "a", "--capacity", "reference"}, "expected none"},
      {{"--model", "m", "--prompt", "a", "--page-size", "100"}, "a multiple of 64"},
      {{"--model", "m", "--prompt", "a", "--max-new-tokens", "0"}, "from 1 to"},
      {{"--model", "m", "--prompt", "a", "--top-p", "0"}, "above 0"},
      {{"--model", "m", "--prompt", "a", "--temperature", "-1"}, "from 0"},
      {{"--model", "m", "--prompt", "a", "--stop", ""}, "not empty"},
  };
  for (const auto& [arguments, part] : cases) {
    try {
      parse(arguments);
      ADD_FAILURE() << "accepted: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << part << " is not in: " << error.what();
    }
  }
}

TEST(GenerateOptions, StopsAreATextOrAListOfTexts) {
  EXPECT_EQ(parse_stops("\n\n"), Arguments{"\n\n"});
  EXPECT_EQ(parse_stops(R"(["\n", "[END]"])"), (Arguments{"\n", "[END]"}));
  EXPECT_EQ(parse_stops("a]"), Arguments{"a]"});
  EXPECT_TRUE(parse_stops("[]").empty());
  for (const char* wrong : {"", "[END]", "[1]", R"([""])",
                            R"(["a"] )"
                            "x"}) {
    EXPECT_THROW(parse_stops(wrong), BadValue) << wrong;
  }
}

}  // namespace
}  // namespace switchyard
