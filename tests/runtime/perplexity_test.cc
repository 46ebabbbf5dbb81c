// The whole of `perplexity` against the reference implementation's numbers.
#include "runtime/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <sstream>

#include "tests/runtime/byte_tokenizer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/golden_case.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace json = boost::json;

PerplexityOptions options_of(const ScoreSetup& setup) {
  PerplexityOptions options;
  options.run = run_options(setup);
  options.input = input_path(setup);
  options.form = ResultForm::kJson;
  return options;
}

/// The bytes of the result.
std::string measure(const ScoreSetup& setup, PerplexityOptions options) {
  const TemporaryFile out("out.json");
  options.output = out.path();
  run_as_threads(setup, [&](Backend& backend, Communicator& ranks, ProgressSink& progress) {
    run_perplexity(options, backend, ranks, progress);
  });
  EXPECT_TRUE(std::filesystem::exists(out.path() + ".meta.json"));
  EXPECT_FALSE(std::filesystem::exists(out.path() + ".partial"));
  return out.contents();
}

json::object parse(const std::string& line) { return json::parse(line).as_object(); }

PerplexityOptions options_of(const ScoreSetup& setup, const GoldenCheck& check) {
  PerplexityOptions options = options_of(setup);
  options.tokens_per_sample = std::stoll(check.args.at("--tokens-per-sample"));
  if (check.args.contains("--context-window")) {
    options.context_window = std::stoll(check.args.at("--context-window"));
  }
  const std::string mode = check.args.at("--break-mode");
  options.break_mode = mode == "none"       ? BreakMode::kNone
                       : mode == "complete" ? BreakMode::kComplete
                                            : BreakMode::kEos;
  return options;
}

class PerplexityGoldenTest : public testing::TestWithParam<GoldenCheck> {};

TEST_P(PerplexityGoldenTest, GivesTheReferencesNumbersOnAnyNumberOfRanks) {
  const GoldenCheck& check = GetParam();
  ScoreSetup setup;
  setup.model = check.folder;
  setup.input = check.input;
  setup.capacity = check.capacity();
  const PerplexityOptions options = options_of(setup, check);
  // Ranks change no byte (see below), so that one number of them is enough for each case.
  setup.num_ranks = options.break_mode == BreakMode::kNone ? 3 : 1;
  const json::object got = parse(measure(setup, options));
  const json::object& expected = check.expected.as_object();
  const double loss = expected.at("loss_base2").to_number<double>();
  EXPECT_NEAR(got.at("loss_base2").to_number<double>(), loss, 5e-6 * loss);
  const double perplexity = expected.at("perplexity").to_number<double>();
  EXPECT_NEAR(got.at("perplexity").to_number<double>(), perplexity, 3e-5 * perplexity);
  EXPECT_EQ(got.at("num_tokens"), expected.at("tokens"));
  EXPECT_EQ(got.at("num_bytes").as_int64(), 20588);
}

INSTANTIATE_TEST_SUITE_P(Reference, PerplexityGoldenTest,
                         testing::ValuesIn(golden_checks("trained_moe_8e", "perplexity")));

TEST(Perplexity, EveryCaseOfTheReferenceIsCompared) {
  EXPECT_EQ(golden_checks("trained_moe_8e", "perplexity").size(), 9u);
}

TEST(Perplexity, SchedulesChangeNoByte) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  const TemporaryFile input("in.txt", "int main() {\n  return 0;\n}\n\nfrom x import y\n");
  setup.input = input.path();
  setup.capacity = {Capacity::kReference, 0.25, 2, 3};
  PerplexityOptions options = options_of(setup);
  options.tokens_per_sample = 12;
  options.context_window = 4;
  const std::string alone = measure(setup, options);
  for (const int ranks : {2, 5}) {
    for (const int64_t batch : {1, 40}) {
      setup.num_ranks = ranks;
      options.run.max_batch_tokens = batch;
      EXPECT_EQ(measure(setup, options), alone) << setup.text();
    }
  }
}

/// A document is scored as a request is: start token, then all its tokens.
TEST(Perplexity, DocumentsAddUpToTheirScores) {
  const TemporaryFile input("in.jsonl",
                            "{\"id\":1,\"text\":\"The function returns a reference.\"}\n"
                            "{\"id\":2,\"text\":\"\"}\n"
                            "{\"id\":3,\"text\":\"d\xC3\xA9j\xC3\xA0 vu: a list\"}\n");
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = input.path();
  const json::object got = parse(measure(setup, options_of(setup)));
  double logprob = 0.0;
  int64_t tokens = 0;
  std::istringstream lines(score(setup));
  for (std::string line; std::getline(lines, line);) {
    const json::object result = parse(line);
    logprob += result.at("logprob").to_number<double>();
    tokens += result.at("num_tokens").as_int64();
  }
  EXPECT_NEAR(got.at("logprob").to_number<double>(), logprob, 1e-4);
  EXPECT_EQ(got.at("num_tokens").as_int64(), tokens);
  EXPECT_EQ(got.at("num_bytes").as_int64(), 33 + 17);
  EXPECT_NEAR(got.at("bits_per_byte").to_number<double>(), -logprob / std::log(2.0) / 50, 1e-5);
}

TEST(Perplexity, ALineMayBePaddedBeyondThePositions) {
  // 1,000 tokens of a line and 64 rows for its window are more than the model's 1,024 positions.
  std::string line;
  for (int i = 0; i < 450; ++i) line += " 1,";
  const TemporaryFile input("in.txt", "a\n" + line + "\n");
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = input.path();
  setup.capacity = {Capacity::kReference, 1.0, 1, 0};
  PerplexityOptions options = options_of(setup);
  options.break_mode = BreakMode::kEos;
  options.context_window = 200;
  const json::object got = parse(measure(setup, options));
  EXPECT_GT(got.at("num_tokens").as_int64(), 824);
}

TEST(Perplexity, UserErrorsAreAgreedAndLeaveNothing) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  const TempFolder folder;
  const auto expect = [&](std::initializer_list<std::string_view> parts, const std::string& name,
                          std::string_view text, ErrorKind kind = ErrorKind::kInput) {
    setup.input = folder.write(name, text);
    for (const int ranks : {1, 3}) {
      setup.num_ranks = ranks;
      PerplexityOptions options = options_of(setup);
      options.output = folder.path("out");
      expect_error(kind, parts, [&] {
        run_as_threads(setup, [&](Backend& backend, Communicator& world, ProgressSink& progress) {
          run_perplexity(options, backend, world, progress);
        });
      });
    }
    std::filesystem::remove(setup.input);
    EXPECT_TRUE(std::filesystem::is_empty(folder.path("")));
  };
  expect({"in.txt", "no tokens"}, "in.txt", "");
  expect({"in.jsonl", "no tokens"}, "in.jsonl", "{\"text\":\"\"}\n");
  expect({"in.txt:2", "not UTF-8"}, "in.txt", "a\n\xFF\n");
  expect({"in.jsonl:1", "JSON"}, "in.jsonl", "text\n");
  expect({"would overwrite"}, "out", "a\n", ErrorKind::kUsage);
  setup.model = "fairseq/moe_fp32";
  expect({"needs a tokenizer", "encoder.json"}, "in.txt", "a\n");
}

SequenceOutput output_of(int64_t sequence, std::vector<float> logprobs) {
  SequenceOutput output;
  output.sequence = sequence;
  output.logprobs = std::move(logprobs);
  return output;
}

TEST(PerplexityWork, AddsUpInTheOrderOfTheTextWhateverComesFirst) {
  const TempFolder folder;
  const ByteTokenizer tokenizer;
  NoProgress progress;
  PassageReader passages(folder.write("in", "ab\ncde\n\nf\n"), TextKind::kLines, tokenizer, 2);
  BlockRules rules;
  rules.break_mode = BreakMode::kEos;
  rules.block_size = 4;
  rules.max_positions = 8;
  // Three rows, then four: two steps of two blocks.
  PerplexityWork work(passages, rules, ScheduleLimits::make(1, 7, 100, 8), {4, 10, 4, 1}, progress);
  StepHeader header = work.next();
  ASSERT_EQ(header.kind, StepKind::kRun);
  ASSERT_EQ(header.units.size(), 2u);
  EXPECT_NE(work.describe(NonFiniteError(1, 3, "layer 5")).find("in:2: block 1"),
            std::string::npos);
  EXPECT_NE(work.describe(NonFiniteError(1, 3, "layer 5")).find("position 3"), std::string::npos);
  EXPECT_NE(work.describe(NonFiniteError(1, 3, "layer 5")).find("layer 5"), std::string::npos);
  // Each block is summed for itself: taken one by one, all of -1 would be lost.
  work.consume({output_of(1, {-1.0f, -1.0f, -1.0f, -1.0f}), output_of(0, {-0x1p54f, 0.0f, 0.0f})});
  EXPECT_EQ(work.score().logprob, -0x1p54 - 4.0);
  header = work.next();
  ASSERT_EQ(header.units.size(), 2u);
  EXPECT_NE(work.describe(NonFiniteError(3, 0, "layer 5")).find("in:4: block 3"),
            std::string::npos);
  work.consume({output_of(2, {0.0f}), output_of(3, {0.0f, 0.0f})});
  EXPECT_EQ(work.next().kind, StepKind::kStop);
  EXPECT_EQ(work.score().num_tokens, 10);
  EXPECT_EQ(work.score().num_bytes, 10);
  EXPECT_EQ(work.progress().requests_done, 4);
  EXPECT_EQ(work.progress().tokens_done, 10);
}

TEST(FormatScore, IsATableOrOneJsonObject) {
  const TextScore score = {4, -8.0 * std::log(2.0), 16};
  EXPECT_DOUBLE_EQ(score.loss_base2(), 2.0);
  EXPECT_DOUBLE_EQ(score.perplexity(), 4.0);
  EXPECT_DOUBLE_EQ(score.bits_per_byte(), 0.5);
  const json::object object = parse(format_score(score, ResultForm::kJson));
  EXPECT_EQ(object.size(), 6u);
  EXPECT_EQ(object.at("num_tokens").as_int64(), 4);
  EXPECT_EQ(object.at("logprob").to_number<double>(), score.logprob);
  EXPECT_EQ(format_score(score, ResultForm::kTable),
            "tokens  loss (bits/token)  perplexity  bytes  bits/byte\n"
            "------  -----------------  ----------  -----  ---------\n"
            "     4            2.00000      4.0000     16    0.50000");
}

}  // namespace
}  // namespace switchyard
