// The whole of `generate` against the reference implementation's tokens, against scoring, and
// against itself under every schedule.
#include "runtime/generate.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/base/mix_bits.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/golden_case.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// A run of `generate`; what is not said here is the default.
struct GenerateSetup {
  ScoreSetup run;
  GenerationRules rules;
  BatchOptions batch;
  DecodeGraphs graphs = DecodeGraphs::kAuto;
};

std::string generate(const GenerateSetup& setup) {
  const TemporaryFile out("out.jsonl");
  GenerateOptions options;
  options.run = run_options(setup.run);
  options.input = input_path(setup.run);
  options.output = out.path();
  options.rules = setup.rules;
  options.batch = setup.batch;
  options.run.graphs = setup.graphs;
  run_as_threads(setup.run, [&](Backend& device, Communicator& ranks, ProgressSink& progress) {
    run_generate(options, device, ranks, progress);
  });
  return out.contents();
}

std::vector<json::object> parse_lines(const std::string& text) {
  std::istringstream lines(text);
  std::vector<json::object> objects;
  for (std::string line; std::getline(lines, line);) {
    objects.push_back(json::parse(line).as_object());
  }
  return objects;
}

/// Prompts of ids below `vocabulary`, some of them long.
std::string some_prompts(int64_t vocabulary, const std::vector<int64_t>& lengths) {
  std::string lines;
  uint64_t state = 7;
  for (size_t i = 0; i < lengths.size(); ++i) {
    json::array ids;
    for (int64_t j = 0; j < lengths[i]; ++j) {
      state = mix_bits(state);
      ids.emplace_back(4 + static_cast<int64_t>(state % static_cast<uint64_t>(vocabulary - 4)));
    }
    lines += json::serialize(json::object{{"id", i}, {"prompt_token_ids", ids}}) + "\n";
  }
  return lines;
}

class GenerateTest : public testing::TestWithParam<const char*> {
 protected:
  GenerateTest() : prompts_("prompts.jsonl", some_prompts(60, {3, 20, 1, 2, 11, 30, 7, 14})) {
    setup_.run.model = GetParam();
    setup_.run.input = prompts_.path();
    setup_.rules.max_new_tokens = 12;
    setup_.rules.logprobs = TokenLogprobs::kAdded;
  }

  void expect_the_same_for_all_schedules() {
    const std::string expected = generate(setup_);
    struct Schedule {
      int ranks;
      BatchOptions batch;
      int64_t max_batch_tokens;
    };
    for (const Schedule& schedule : std::vector<Schedule>{{1, {1, 1, 64}, 4096},
                                                          {2, {32, 7, 64}, 4096},
                                                          {3, {2, 512, 128}, 16},
                                                          {4, {1, 5, 192}, 1},
                                                          {4, {32, 512, 64}, 64}}) {
      GenerateSetup setup = setup_;
      setup.run.num_ranks = schedule.ranks;
      setup.run.max_batch_tokens = schedule.max_batch_tokens;
      setup.batch = schedule.batch;
      if (schedule.ranks % 2 == 0) setup.run.exchange.layout = ExchangeLayout::kPadded;
      EXPECT_TRUE(generate(setup) == expected) << setup.run.text();
      setup.run.exchange.layout = ExchangeLayout::kPadded;
      setup.graphs = DecodeGraphs::kOn;
      EXPECT_TRUE(generate(setup) == expected) << "recorded, " << setup.run.text();
    }
  }

  TemporaryFile prompts_;
  GenerateSetup setup_;
};

TEST_P(GenerateTest, NoScheduleChangesAByte) {
  expect_the_same_for_all_schedules();
  setup_.rules.sampling = {0.9f, 20, 0.95f, 3};
  setup_.rules.num_results = 2;
  expect_the_same_for_all_schedules();
}

TEST_P(GenerateTest, LogProbsAreThoseOfScoring) {
  setup_.rules.sampling.temperature = 1.5f;
  const std::vector<json::object> prompts = parse_lines(prompts_.contents());
  const std::vector<json::object> results = parse_lines(generate(setup_));
  ASSERT_EQ(results.size(), prompts.size());
  std::string requests;
  for (size_t i = 0; i < results.size(); ++i) {
    json::array ids = prompts[i].at("prompt_token_ids").as_array();
    for (const json::value& id : results[i].at("generated_token_ids").as_array()) {
      ids.push_back(id);
    }
    requests += json::serialize(json::object{{"id", i}, {"token_ids", ids}}) + "\n";
  }
  const TemporaryFile input("requests.jsonl", requests);
  ScoreSetup scored = setup_.run;
  scored.input = input.path();
  const std::vector<json::object> scores = parse_lines(score(scored));
  for (size_t i = 0; i < results.size(); ++i) {
    const json::array& logprobs = results[i].at("token_logprobs").as_array();
    const json::array& all = scores[i].at("token_logprobs").as_array();
    ASSERT_GT(logprobs.size(), 0u);
    EXPECT_EQ(logprobs,
              json::array(all.end() - static_cast<std::ptrdiff_t>(logprobs.size()), all.end()));
  }
}

TEST_P(GenerateTest, TheStrictBackendGivesTheSame) {
  const std::string expected = generate(setup_);
  setup_.run.backend = BackendKind::kStrict;
  setup_.run.num_ranks = 2;
  setup_.batch = {3, 6, 64};
  EXPECT_TRUE(generate(setup_) == expected);
  setup_.run.exchange.layout = ExchangeLayout::kPadded;
  setup_.graphs = DecodeGraphs::kOn;
  for (const int ranks : {1, 2}) {
    setup_.run.num_ranks = ranks;
    EXPECT_TRUE(generate(setup_) == expected) << "recorded on " << ranks;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GenerateTest,
                         testing::Values("fairseq/moe_fp32", "fairseq/dense_fp32", "trained_moe_8e",
                                         "hf/gpt-oss-mxfp4", "hf/kimi-k2",
                                         "hf/mixtral-window-bf16-shards"));

/// The generated ids of each line of a file.
std::vector<json::value> generated_ids(const std::string& text) {
  std::vector<json::value> ids;
  for (const json::object& line : parse_lines(text)) ids.push_back(line.at("generated_token_ids"));
  return ids;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class GenerateGoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GenerateGoldenTest, GivesTheReferencesTokens) {
  const std::vector<GoldenCheck> checks = golden_checks(GetParam(), "generate");
  EXPECT_GE(checks.size(), 1u);
  for (const GoldenCheck& golden : checks) {
    GenerateSetup setup;
    setup.run.model = golden.folder;
    setup.run.input = golden.input;
    setup.run.num_ranks = 2;
    setup.run.attention_form = AttentionForm::kAbsorbed;
    setup.rules.max_new_tokens = std::stoll(golden.args.at("--max-new-tokens"));
    const auto least = golden.args.find("--min-new-tokens");
    if (least != golden.args.end()) setup.rules.min_new_tokens = std::stoll(least->second);
    const std::string expected =
        read_file(test_data(concat(golden.folder, "/", golden.expected.as_string().c_str())));
    const std::string got = generate(setup);
    EXPECT_EQ(generated_ids(got), generated_ids(expected));
    setup.run.num_ranks = 3;
    setup.batch.batch_size = 1;
    setup.batch.prefill_chunk = 2;
    EXPECT_EQ(generate(setup), got);
  }
}

std::vector<std::string> folders_to_generate_from() {
  std::vector<std::string> folders = case_folders("hf");
  std::erase_if(
      folders, [](const std::string& folder) { return golden_checks(folder, "generate").empty(); });
  folders.push_back("trained_moe_8e");
  return folders;
}

INSTANTIATE_TEST_SUITE_P(Cases, GenerateGoldenTest, testing::ValuesIn(folders_to_generate_from()),
                         [](const testing::TestParamInfo<std::string>& test) {
                           std::string name = test.param;
                           std::ranges::replace_if(
                               name, [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(Generate, TextAndStopStrings) {
  const TemporaryFile prompts("prompts.jsonl", "{\"id\": \"p\", \"prompt\": \"The function\"}\n");
  GenerateSetup setup;
  setup.run.model = "trained_moe_8e";
  setup.run.input = prompts.path();
  setup.rules.max_new_tokens = 20;
  setup.rules.eos = EosRule::kIgnored;
  const json::object whole = parse_lines(generate(setup)).at(0);
  const std::string text = whole.at("text").as_string().c_str();
  ASSERT_GT(text.size(), 12u);
  EXPECT_EQ(whole.at("finish_reason"), "length");
  setup.rules.stops = {"no such thing", text.substr(6, 4)};
  const json::object cut = parse_lines(generate(setup)).at(0);
  EXPECT_EQ(cut.at("text"), json::value(text.substr(0, text.find(text.substr(6, 4)))));
  EXPECT_EQ(cut.at("finish_reason"), "stop");
  EXPECT_LT(cut.at("generated_token_ids").as_array().size(), 20u);
}

TEST(Generate, WrongInputLeavesNoResults) {
  GenerateSetup setup;
  setup.run.model = "fairseq/moe_fp32";
  const auto refuses = [&](const std::string& lines, ErrorKind kind, const char* part) {
    const TemporaryFile prompts("prompts.jsonl", lines);
    setup.run.input = prompts.path();
    expect_error(kind, {part}, [&] { generate(setup); });
  };
  const std::string good = "{\"id\": 1, \"prompt_token_ids\": [5]}\n";
  refuses(good + "{\"id\": 2, \"token_ids\": [5]}\n", ErrorKind::kInput, ":2: ");
  refuses(good + good, ErrorKind::kInput, ":2: request 1");
  refuses(good + "{\"id\": 2, \"prompt\": \"a\"}\n", ErrorKind::kInput, "needs a tokenizer");
  setup.rules.stops = {"x"};
  refuses(good, ErrorKind::kUsage, "--stop is about text");
  setup.rules.stops.clear();
  setup.rules.max_length = 1 << 20;
  refuses(good, ErrorKind::kUsage, "--max-length");
}

TEST(Generate, NoPromptsGiveNoResults) {
  const TemporaryFile prompts("prompts.jsonl", "\n");
  GenerateSetup setup;
  setup.run.model = "fairseq/moe_fp32";
  setup.run.input = prompts.path();
  setup.run.num_ranks = 2;
  EXPECT_EQ(generate(setup), "");
}

}  // namespace
}  // namespace switchyard
