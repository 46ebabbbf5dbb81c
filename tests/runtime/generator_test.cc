#include "runtime/generator.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/runtime/byte_tokenizer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/fake_cached_model.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

constexpr int32_t kVocabulary = 50;
constexpr int32_t kEos = 3;

/// How a run is scheduled; no result may depend on it.
struct Schedule {
  int ranks = 1;
  BatchOptions batch = {};
  int64_t max_batch_tokens = 4096;
  bool is_known = true;  // the input, before it is read

  std::string text() const {
    return concat(ranks, " ranks, batches of ", batch.batch_size, ", chunks of ",
                  batch.prefill_chunk, ", pages of ", batch.page_size, ", steps of ",
                  max_batch_tokens, " rows");
  }
};

std::string prompt_line(int64_t id, const std::vector<int32_t>& ids) {
  std::string text = concat("{\"id\": ", id, ", \"prompt_token_ids\": [");
  for (size_t i = 0; i < ids.size(); ++i) text += concat(i == 0 ? "" : ", ", ids[i]);
  return text + "]}\n";
}

/// Prompts, what becomes of them, and a run of both through a generator and a fake model.
class GeneratorTest : public testing::Test {
 protected:
  GeneratorTest() {
    options_.vocab_size = kVocabulary;
    options_.max_length = 400;
    options_.start_token = 2;
    context_.rules.max_new_tokens = 40;
    context_.rules.logprobs = TokenLogprobs::kAdded;
    context_.eos_ids = {kEos};
    context_.max_length = options_.max_length;
  }

  void add_prompt(int64_t length) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < length; ++i) {
      ids.push_back(static_cast<int32_t>(random_() % kVocabulary));
    }
    prompts_.push_back(ids);
  }

  void add_prompts(int count, int64_t most) {
    for (int i = 0; i < count; ++i)
      add_prompt(static_cast<int64_t>(random_() % static_cast<uint64_t>(most)));
  }

  /// Every result by the definition: one token after the other, each from all before it.
  std::vector<std::string> expected() const {
    std::vector<std::string> lines;
    for (size_t p = 0; p < prompts_.size(); ++p) {
      for (int64_t index = 0; index < context_.rules.num_results; ++index) {
        lines.push_back(format_result(expected_result(static_cast<int64_t>(p), index)));
      }
    }
    return lines;
  }

  GenerateResult expected_result(int64_t p, int64_t index) const {
    const GenerationRules& rules = context_.rules;
    GenerateResult result;
    result.id = p;
    if (rules.num_results > 1) result.index = index;
    result.token_logprobs.emplace();
    std::vector<int32_t> ids = {2};
    const std::vector<int32_t>& prompt = prompts_[static_cast<size_t>(p)];
    ids.insert(ids.end(), prompt.begin(), prompt.end());
    for (int64_t token = 0; token < rules.max_new_tokens; ++token) {
      if (static_cast<int64_t>(ids.size()) >= context_.max_length) break;
      SampleSettings settings = sample_settings(rules.sampling, result.id, index, token);
      settings.is_eos_banned = token < rules.min_new_tokens;
      std::vector<int32_t> seen = ids;
      seen[0] += static_cast<int32_t>(rotation_(static_cast<int64_t>(ids.size())));
      const int32_t next =
          FakeCachedModel::next_token(seen, windows_, settings, context_.eos_ids, kVocabulary);
      ids.push_back(next);
      result.token_ids.push_back(next);
      result.token_logprobs->push_back(FakeCachedModel::logprob_of(next));
      if (next != kEos || rules.eos == EosRule::kIgnored) continue;
      result.finish_reason = FinishReason::kStop;
      break;
    }
    return result;
  }

  std::vector<std::string> run(const Schedule& schedule) {
    std::string lines;
    for (size_t i = 0; i < prompts_.size(); ++i) {
      lines += prompt_line(static_cast<int64_t>(i), prompts_[i]);
    }
    const TemporaryFile input("prompts.jsonl", lines + "\n");
    const GenerationShape shape = {schedule.batch, windows_, schedule.ranks,
                                   schedule.max_batch_tokens};
    PromptStream first(input.path(), context_.tokenizer, options_);
    const RequestSummary summary = schedule.is_known ? check_prompts(first, context_, shape)
                                                     : unknown_prompts(context_, shape);
    const ScheduleLimits limits =
        ScheduleLimits::make(schedule.ranks, schedule.max_batch_tokens, 0, 16);
    PromptStream prompts(input.path(), context_.tokenizer, options_);
    std::vector<std::string> results;
    NoProgress progress;
    Generator generator(prompts,
                        {[&](const std::string& line) { results.push_back(line); }, [] {}, text_},
                        progress, {context_, shape, limits, summary});
    model_.emplace(
        FakeCachedModel::Shape{windows_, summary.cache_pages, limits, kVocabulary, rotation_});
    for (StepHeader header = generator.next(); header.kind == StepKind::kRun;
         header = generator.next()) {
      generator.consume(model_->run(decode_step_header(encode(header))));
    }
    EXPECT_EQ(generator.progress().requests_done, static_cast<int64_t>(prompts_.size()));
    return results;
  }

  void expect_the_same_for(const std::vector<Schedule>& schedules) {
    const std::vector<std::string> results = expected();
    for (const Schedule& schedule : schedules) {
      EXPECT_TRUE(run(schedule) == results) << schedule.text();
    }
  }

  static std::vector<Schedule> many_schedules() {
    std::vector<Schedule> schedules;
    for (const int ranks : {1, 2, 3, 4}) {
      for (const int64_t batch : {1, 3, 32}) {
        for (const int64_t chunk : {1, 7, 64, 512}) {
          for (const int64_t rows : {1, 10, 4096}) {
            const int64_t page = chunk == 7 ? 192 : 64;
            schedules.push_back({ranks, {batch, chunk, page}, rows, ranks != 2});
          }
        }
      }
    }
    return schedules;
  }

  std::mt19937_64 random_{5};
  std::vector<std::vector<int32_t>> prompts_;
  std::vector<int64_t> windows_ = {0};
  std::function<int64_t(int64_t)> rotation_ = [](int64_t) { return 0; };
  PromptOptions options_;
  GenerationContext context_;
  std::function<void(std::string_view)> text_;
  std::optional<FakeCachedModel> model_;
};

TEST_F(GeneratorTest, NoScheduleChangesAResult) {
  add_prompts(25, 150);
  expect_the_same_for(many_schedules());
}

TEST_F(GeneratorTest, WindowsSeeWhatTheyShould) {
  add_prompts(6, 300);
  for (const auto& windows :
       std::vector<std::vector<int64_t>>{{1}, {64, 0}, {0, 65, 2}, {63, 128, 129}}) {
    windows_ = windows;
    for (const int64_t page : {64, 128}) {
      for (const int64_t chunk : {1, 63, 64, 200}) {
        expect_the_same_for({{2, {2, chunk, page}, 100}, {1, {32, chunk, page}, 4096}});
      }
    }
  }
}

TEST_F(GeneratorTest, KeysAreRotatedByTheLengthOfWhatIsThere) {
  add_prompts(12, 120);
  rotation_ = [](int64_t length) { return length <= 40 ? 0 : length <= 80 ? 1 : length / 3; };
  context_.rotates_alike = [&](int64_t a, int64_t b) { return rotation_(a) == rotation_(b); };
  for (const auto& windows : std::vector<std::vector<int64_t>>{{0}, {0, 30}}) {
    windows_ = windows;
    expect_the_same_for({{1}, {2, {3, 7, 128}, 10}, {3, {1, 64, 64}, 100}, {1, {8, 1, 64}, 8}});
  }
}

TEST_F(GeneratorTest, SamplingIsAFunctionOfTheRequestAlone) {
  add_prompts(8, 60);
  context_.rules.num_results = 3;
  context_.rules.sampling.temperature = 0.7f;
  context_.rules.sampling.seed = 11;
  expect_the_same_for({{1, {1, 512, 64}}, {3, {2, 5, 64}, 20}, {4, {32, 512, 128}}});
  const std::vector<std::string> results = expected();
  context_.rules.sampling.seed = 12;
  EXPECT_NE(run({}), results);
}

TEST_F(GeneratorTest, EndOfSequenceTokensEndWhereTheyMay) {
  add_prompts(20, 30);
  context_.rules.min_new_tokens = 25;
  expect_the_same_for({{1}, {2, {4, 9, 64}}});
  const std::vector<std::string> results = run({});
  EXPECT_TRUE(std::ranges::any_of(
      results, [](const std::string& line) { return line.find("\"stop\"") != line.npos; }));
  context_.rules.eos = EosRule::kIgnored;
  expect_the_same_for({{1}});
}

TEST_F(GeneratorTest, ThePositionsEndASequence) {
  for (const int64_t length : {397, 398, 399, 1})
    add_prompt(length);  // of 400 with the start token
  context_.rules.eos = EosRule::kIgnored;
  expect_the_same_for({{1}, {3, {1, 100, 64}}});
  const std::vector<std::string> results = run({});
  EXPECT_EQ(results[2],
            "{\"id\":2,\"generated_token_ids\":[],\"text\":null,\"finish_reason\":\"length\","
            "\"token_logprobs\":[]}");
  prompts_ = {};
  add_prompt(400);
  expect_error(ErrorKind::kInput,
               {":1: request 0", "400 tokens and the start token", "at most 400"},
               [&] { run({}); });
}

TEST_F(GeneratorTest, ASequenceThatDoesNotFitWaitsForPages) {
  context_.max_length = options_.max_length = 8000;
  for (int i = 0; i < 6; ++i) add_prompt(i % 2 == 0 ? 7900 : 3);
  context_.rules.max_new_tokens = 4;
  Schedule schedule{1, {2, 4096, 64}};
  schedule.is_known = false;  // pages for one sequence of 8,000 positions
  expect_the_same_for({schedule});
}

TEST_F(GeneratorTest, StepsAreFull) {
  for (int i = 0; i < 12; ++i) add_prompt(40);
  context_.rules.eos = EosRule::kIgnored;
  run({1, {12, 512, 64}, 100});
  EXPECT_EQ(model_->most_rows(), 100);
  // 12 prompts of 41 rows, 100 rows a step, then 39 more tokens for the last that was begun.
  EXPECT_LE(model_->steps(), 6 + 39);
}

TEST_F(GeneratorTest, NothingToDo) {
  EXPECT_EQ(run({}), std::vector<std::string>());
  EXPECT_EQ(model_->steps(), 0);
}

TEST_F(GeneratorTest, TextEndsBeforeTheFirstStopString) {
  const ByteTokenizer tokenizer;
  context_.tokenizer = &tokenizer;
  context_.rules.logprobs = TokenLogprobs::kLeftOut;
  context_.rules.eos = EosRule::kIgnored;
  add_prompts(5, 20);
  for (size_t i = 0; i < prompts_.size(); ++i) {
    context_.rules.stops.clear();
    const std::vector<int32_t> ids = expected_result(static_cast<int64_t>(i), 0).token_ids;
    const std::string all(ids.begin(), ids.end());
    context_.rules.stops = {all.substr(7, 3), all.substr(9, 2)};
    GenerateResult result;
    result.id = static_cast<int64_t>(i);
    result.finish_reason = FinishReason::kStop;
    // A token is a byte: the ids go on to the end of the stop string.
    result.text = all.substr(0, all.find(context_.rules.stops[0]));
    result.token_ids.assign(ids.begin(), ids.begin() + 3 + static_cast<int>(result.text->size()));
    EXPECT_EQ(run({1, {2, 7, 64}}).at(i), format_result(result));
  }
}

TEST_F(GeneratorTest, AStreamShowsTheTextOfTheResult) {
  const ByteTokenizer tokenizer;
  context_.tokenizer = &tokenizer;
  context_.stream = TextStream::kStandardOutput;
  context_.rules.logprobs = TokenLogprobs::kLeftOut;
  context_.rules.stops = {"\x03\x04\x05"};
  add_prompt(9);
  std::string shown;
  int64_t pieces = 0;
  text_ = [&](std::string_view text) {
    shown += text;
    if (!text.empty()) ++pieces;
  };
  const std::string result = run({}).at(0);
  GenerateResult same;
  same.text = shown;
  const std::string quoted = format_result(same);
  const size_t begin = quoted.find("\"text\"");
  EXPECT_NE(result.find(quoted.substr(begin, quoted.find(",\"finish") - begin)), result.npos);
  EXPECT_GT(pieces, 10);
}

TEST_F(GeneratorTest, RanksShareTheSequences) {
  std::string lines;
  for (int64_t i = 0; i < 6; ++i) lines += prompt_line(i, {5});
  const TemporaryFile input("prompts.jsonl", lines);
  const GenerationShape shape = {{}, windows_, 4, 4096};
  PromptStream first(input.path(), nullptr, options_);
  const RequestSummary summary = check_prompts(first, context_, shape);
  EXPECT_EQ(summary.num_requests, 6);
  EXPECT_EQ(summary.total_rows, 6 * (2 + 39));
  EXPECT_EQ(summary.cache_pages, std::vector<int64_t>{2}) << "two of six sequences on a rank";
  PromptStream prompts(input.path(), nullptr, options_);
  NoProgress progress;
  Generator generator(prompts, {[](const std::string&) {}, [] {}}, progress,
                      {context_, shape, ScheduleLimits::make(4, 4096, 0, 16), summary});
  std::vector<int32_t> ranks;
  for (const StepUnit& unit : generator.next().units) ranks.push_back(unit.rank);
  EXPECT_EQ(ranks, (std::vector<int32_t>{0, 1, 2, 3, 0, 1}));
}

TEST_F(GeneratorTest, ANumberThatIsNotFiniteNamesItsRequest) {
  add_prompts(3, 10);
  std::string lines;
  for (int64_t i = 0; i < 3; ++i) lines += prompt_line(i * 11, prompts_[static_cast<size_t>(i)]);
  const TemporaryFile input("prompts.jsonl", lines);
  const GenerationShape shape = {{}, windows_, 1, 4096};
  PromptStream first(input.path(), nullptr, options_);
  const RequestSummary summary = check_prompts(first, context_, shape);
  PromptStream prompts(input.path(), nullptr, options_);
  NoProgress progress;
  Generator generator(prompts, {[](const std::string&) {}, [] {}}, progress,
                      {context_, shape, ScheduleLimits::make(1, 4096, 0, 16), summary});
  EXPECT_EQ(generator.next().units.size(), 3u);
  const std::string text = generator.describe(NonFiniteError(1, 4, "layer 0"));
  EXPECT_NE(text.find("request 11 (line 2), position 4"), text.npos) << text;
}

}  // namespace
}  // namespace switchyard
