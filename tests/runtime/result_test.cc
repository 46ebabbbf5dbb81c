// The text of results, byte for byte.
#include <gtest/gtest.h>

#include <charconv>
#include <limits>
#include <random>
#include <string>

#include "runtime/requests/json_text.h"
#include "runtime/requests/request.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

template <typename Number>
std::string number(Number value) {
  std::string text;
  append_json_number(value, text);
  return text;
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(text, out);
  return out;
}

TEST(JsonTextTest, ShortestNumbers) {
  EXPECT_EQ(number(-0.1f), "-0.1");
  EXPECT_EQ(number(0.0f), "0.0");
  EXPECT_EQ(number(-0.0f), "-0.0");
  EXPECT_EQ(number(-3.0f), "-3.0");
  EXPECT_EQ(number(-1e-5f), "-1e-05");
  EXPECT_EQ(number(1e20f), "1e+20");
  EXPECT_EQ(number(-16777216.0f), "-16777216.0");
  EXPECT_EQ(number(1.0f / 3.0f), "0.33333334");
  EXPECT_EQ(number(1.0 / 3.0), "0.3333333333333333");
  EXPECT_EQ(number(static_cast<double>(0.1f)), "0.10000000149011612");
  EXPECT_EQ(number(std::numeric_limits<float>::denorm_min()), "1e-45");
  EXPECT_EQ(number(std::numeric_limits<double>::lowest()), "-1.7976931348623157e+308");
}

TEST(JsonTextTest, NumbersReadBackAsTheSame) {
  std::mt19937 random(11);
  for (int i = 0; i < 20000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (value - value != 0.0f) continue;  // not finite
    const std::string text = number(value);
    float back = 0.0f;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), back).ptr;
    EXPECT_EQ(end, text.data() + text.size()) << text;
    EXPECT_EQ(std::bit_cast<uint32_t>(back), std::bit_cast<uint32_t>(value)) << text;
  }
}

TEST(JsonTextTest, NonFiniteNumbersAreFaults) {
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    expect_error(ErrorKind::kInternal, {}, [&] { number(value); });
    expect_error(ErrorKind::kInternal, {}, [&] { number(static_cast<double>(value)); });
  }
}

TEST(JsonTextTest, Strings) {
  EXPECT_EQ(quoted(""), "\"\"");
  EXPECT_EQ(quoted("a/b é\x7f"), "\"a/b é\x7f\"");
  EXPECT_EQ(quoted("\"\\\b\f\n\r\t"), R"("\"\\\b\f\n\r\t")");
  EXPECT_EQ(quoted(std::string_view("\0\x1f", 2)), R"("\u0000\u001f")");
}

TEST(ResultTest, Alone) {
  ScoreResult result;
  result.id = std::string("é\n");
  result.token_ids = {7, 0};
  result.token_logprobs = {-0.1f, -2.0f};
  EXPECT_EQ(format_result(result),
            "{\"id\":\"é\\n\",\"token_ids\":[7,0],\"token_logprobs\":[-0.1,-2.0],"
            "\"logprob\":-2.1,\"num_tokens\":2}");
}

TEST(ResultTest, Empty) {
  ScoreResult result;
  result.id = int64_t{-3};
  EXPECT_EQ(format_result(result),
            "{\"id\":-3,\"token_ids\":[],\"token_logprobs\":[],\"logprob\":0.0,\"num_tokens\":0}");
}

TEST(ResultTest, PairWithCandidates) {
  ScoreResult result;
  result.id = int64_t{1};
  result.token_ids = {7, 8};
  result.token_logprobs = {-0.5f, -0.25f};
  result.is_greedy = true;
  result.top_logprobs = {{{7, -0.5f}, {9, -1.0f}}, {{8, -0.25f}}};
  EXPECT_EQ(format_result(result),
            "{\"id\":1,\"token_ids\":[7,8],\"token_logprobs\":[-0.5,-0.25],\"logprob\":-0.75,"
            "\"num_tokens\":2,\"is_greedy\":true,"
            "\"top_logprobs\":[[[7,-0.5],[9,-1.0]],[[8,-0.25]]]}");
  result.is_greedy = false;
  result.top_logprobs.reset();
  EXPECT_TRUE(format_result(result).ends_with("\"num_tokens\":2,\"is_greedy\":false}"));
}

// The sum is of fp64 numbers in token order: fp32 would lose the small ones, another order or a
// compensated sum gives other last bits.
TEST(ResultTest, SumsInDoublePrecisionInOrder) {
  ScoreResult result;
  result.id = int64_t{1};
  result.token_logprobs = {-1e16f, -1.0f, -1.0f};
  result.token_ids = {1, 2, 3};
  const double in_order = (-1e16 - 1.0) - 1.0;
  const double small_first = -1e16 + (-1.0 - 1.0);
  ASSERT_NE(in_order, small_first);
  EXPECT_NE(format_result(result).find("\"logprob\":" + number(in_order) + ","), std::string::npos);
}

TEST(ResultTest, AFirstTokenThatFollowsNothingHasNoLogprob) {
  ScoreResult result;
  result.id = int64_t{1};
  result.token_ids = {7, 8};
  result.token_logprobs = {-0.5f};
  result.top_logprobs = {{{8, -0.5f}}};
  EXPECT_EQ(format_result(result),
            R"({"id":1,"token_ids":[7,8],"token_logprobs":[null,-0.5],"logprob":-0.5,)"
            R"("num_tokens":1,"top_logprobs":[null,[[8,-0.5]]]})");
  result.token_ids = {7};
  result.token_logprobs.clear();
  result.top_logprobs.reset();
  EXPECT_EQ(format_result(result),
            R"({"id":1,"token_ids":[7],"token_logprobs":[null],"logprob":0.0,"num_tokens":0})");
}

TEST(ResultTest, BrokenResultsAreFaults) {
  ScoreResult result;
  result.id = int64_t{1};
  result.token_ids = {1, 2};
  expect_error(ErrorKind::kInternal, {}, [&] { format_result(result); });
  result.token_ids = {1};
  result.token_logprobs = {std::numeric_limits<float>::quiet_NaN()};
  expect_error(ErrorKind::kInternal, {}, [&] { format_result(result); });
  result.token_logprobs = {-1.0f};
  result.top_logprobs.emplace();
  expect_error(ErrorKind::kInternal, {}, [&] { format_result(result); });
}

}  // namespace
}  // namespace switchyard
