#include "runtime/requests/prompt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "runtime/sampling.h"
#include "tests/runtime/byte_tokenizer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

constexpr ErrorKind kInput = ErrorKind::kInput;

TEST(Prompt, TextOrIdsAndOtherKeys) {
  const Prompt text = parse_prompt(R"({"id": "a", "prompt": "x\n", "text": 1, "n": [2]})", 4, "IN");
  EXPECT_EQ(text.line, 4);
  EXPECT_EQ(std::get<std::string>(text.id), "a");
  EXPECT_EQ(std::get<std::string>(text.content), "x\n");
  const Prompt ids = parse_prompt(R"({"prompt_token_ids": [5, 0], "id": 7})", 1, "IN");
  EXPECT_EQ(std::get<std::vector<int32_t>>(ids.content), (std::vector<int32_t>{5, 0}));
}

TEST(Prompt, WrongLinesAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"prompt": "a"})", "\"id\" is missing"},
      {R"({"id": 1})", "found none of these keys"},
      {R"({"id": 1, "text": "a"})", "found none of these keys"},
      {R"({"id": 1, "prompt": "a", "prompt_token_ids": [1]})",
       "found \"prompt\", \"prompt_token_ids\""},
      {R"({"id": 1, "prompt": 3})", "\"prompt\" must be a string"},
      {R"({"id": 1, "prompt_token_ids": "a"})", "must be a list of integers"},
      {R"({"id": 1, "prompt_token_ids": [-1]})", "holds -1"},
      {R"({"id": 1, "prompt": "a", "prompt": "b"})", "twice"},
      {R"([1])", "expected a JSON object"},
  };
  for (const auto& [line, part] : cases) {
    expect_error(kInput, {"IN:9: ", part}, [&] { parse_prompt(line, 9, "IN"); });
  }
  EXPECT_EQ(parse_request_id(R"({"id": 3, "prompt": 1, "text": []})", 1, "IN"),
            RequestId(int64_t{3}));
}

class PromptStreamTest : public testing::Test {
 protected:
  PromptStreamTest() {
    options_.vocab_size = 128;
    options_.max_length = 6;
    options_.tokenizer_help = "put one there";
  }

  std::vector<int32_t> only(const std::string& line, const Tokenizer* tokenizer) {
    PromptStream stream(folder_.write("in", line), tokenizer, options_);
    const std::optional<PreparedPrompt> prompt = stream.next();
    EXPECT_FALSE(stream.next());
    return prompt.value().input_ids;
  }

  TempFolder folder_;
  ByteTokenizer tokenizer_;
  PromptOptions options_;
};

TEST_F(PromptStreamTest, TheStartTokenStandsBeforeAll) {
  EXPECT_EQ(only(R"({"id": 1, "prompt": "ab"})", &tokenizer_), (std::vector<int32_t>{97, 98}));
  options_.start_token = 2;
  EXPECT_EQ(only(R"({"id": 1, "prompt": "ab"})", &tokenizer_), (std::vector<int32_t>{2, 97, 98}));
  EXPECT_EQ(only(R"({"id": 1, "prompt_token_ids": []})", nullptr), std::vector<int32_t>{2});
}

TEST_F(PromptStreamTest, WhatCannotRunIsRefused) {
  options_.pad = 1;
  const std::pair<const char*, const char*> cases[] = {
      {R"({"id": 5, "prompt": "a"})", "put one there"},
      {R"({"id": 5, "prompt_token_ids": []})", "has no token"},
      {R"({"id": 5, "prompt_token_ids": [4, 128]})", "[1] is 128"},
      {R"({"id": 5, "prompt_token_ids": [1]})", "<pad>"},
      {R"({"id": 5, "prompt_token_ids": [2, 2, 2, 2, 2, 2, 2]})", "7 tokens, but"},
  };
  for (const auto& [line, part] : cases) {
    expect_error(kInput, {"in:1: request 5", part}, [&] { only(line, nullptr); });
  }
  expect_error(kInput, {"has no token"}, [&] { only(R"({"id": 5, "prompt": ""})", &tokenizer_); });
}

TEST_F(PromptStreamTest, IdsMayNotRepeat) {
  PromptStream stream(folder_.write("in",
                                    "{\"id\": 1, \"prompt\": \"a\"}\n\n"
                                    "{\"id\": \"1\", \"prompt\": \"a\"}\n"
                                    "{\"id\": 1, \"prompt\": \"b\"}\n"),
                      &tokenizer_, options_);
  EXPECT_TRUE(stream.next());
  EXPECT_TRUE(stream.next());
  expect_error(kInput, {"in:4", "(line 1)"}, [&] { stream.next(); });
}

TEST_F(PromptStreamTest, AStreamHasOnePrompt) {
  options_.count = PromptCount::kOne;
  PromptStream stream(folder_.write("in",
                                    "{\"id\": 1, \"prompt\": \"a\"}\n"
                                    "{\"id\": 2, \"prompt\": \"a\"}\n"),
                      &tokenizer_, options_);
  EXPECT_TRUE(stream.next());
  expect_error(kInput, {"in:2", "--stream"}, [&] { stream.next(); });
}

TEST_F(PromptStreamTest, ATextOfTheCommandLine) {
  PromptStream stream(Prompt{1, RequestId(int64_t{1}), "ab"}, &tokenizer_, options_);
  EXPECT_FALSE(stream.would_wait());
  EXPECT_EQ(stream.next().value().input_ids, (std::vector<int32_t>{97, 98}));
  EXPECT_FALSE(stream.next());
  PromptStream other(Prompt{1, RequestId(int64_t{1}), ""}, &tokenizer_, options_);
  expect_error(kInput, {"--prompt", "has no token"}, [&] { other.next(); });
}

TEST(LineReaderTest, WouldWaitForAWriterAlone) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  LineReader reader(concat("/dev/fd/", ends[0]));
  EXPECT_TRUE(reader.would_wait());
  ASSERT_EQ(write(ends[1], "a\nb\n", 4), 4);
  EXPECT_FALSE(reader.would_wait());
  EXPECT_EQ(reader.next(), "a");
  EXPECT_FALSE(reader.would_wait());
  EXPECT_EQ(reader.next(), "b");
  EXPECT_TRUE(reader.would_wait());
  close(ends[1]);
  close(ends[0]);
}

TEST(Sampling, NumbersAreUniformAndDependOnEveryPart) {
  double sum = 0;
  double squares = 0;
  constexpr int kCount = 20000;
  for (int64_t i = 0; i < kCount; ++i) {
    const double value = uniform_number(1, RequestId(i / 100), 0, i % 100);
    EXPECT_TRUE(value >= 0 && value < 1);
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.01);
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 0.01);
  const float value = uniform_number(1, RequestId(int64_t{5}), 0, 0);
  EXPECT_EQ(uniform_number(1, RequestId(int64_t{5}), 0, 0), value);
  EXPECT_NE(uniform_number(2, RequestId(int64_t{5}), 0, 0), value);
  EXPECT_NE(uniform_number(1, RequestId("5"), 0, 0), value);
  EXPECT_NE(uniform_number(1, RequestId(int64_t{5}), 1, 0), value);
  EXPECT_NE(uniform_number(1, RequestId(int64_t{5}), 0, 1), value);
}

TEST(Sampling, GreedyNeedsNoNumber) {
  SamplingOptions options;
  EXPECT_EQ(sample_settings(options, RequestId("a"), 0, 0).temperature, 0.0f);
  options = {0.5f, 7, 0.9f, 3};
  const SampleSettings settings = sample_settings(options, RequestId("a"), 2, 4);
  EXPECT_EQ(settings.temperature, 0.5f);
  EXPECT_EQ(settings.top_k, 7);
  EXPECT_EQ(settings.top_p, 0.9f);
  EXPECT_EQ(settings.uniform, uniform_number(3, RequestId("a"), 2, 4));
}

TEST(GenerateResultText, KeysAndTheirOrder) {
  GenerateResult result;
  result.id = "a";
  result.token_ids = {5, 2};
  EXPECT_EQ(format_result(result),
            R"({"id":"a","generated_token_ids":[5,2],"text":null,"finish_reason":"length"})");
  result.index = 1;
  result.text = "x\n";
  result.finish_reason = FinishReason::kStop;
  result.token_logprobs = {-0.5f, -1.0f};
  EXPECT_EQ(format_result(result),
            R"({"id":"a","index":1,"generated_token_ids":[5,2],"text":"x\n",)"
            R"("finish_reason":"stop","token_logprobs":[-0.5,-1.0]})");
  result.token_logprobs = {-0.5f, std::nanf("")};
  EXPECT_THROW(format_result(result), Error);
}

}  // namespace
}  // namespace switchyard
