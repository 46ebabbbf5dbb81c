// Lines of requests, right and wrong.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "runtime/requests/request.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

Request parse(std::string_view line) { return parse_request(line, 12, "IN.jsonl"); }

void expect_refused(std::string_view line, std::initializer_list<std::string_view> parts) {
  const std::string message = expect_error(ErrorKind::kInput, parts, [&] { parse(line); });
  EXPECT_TRUE(message.starts_with("IN.jsonl:12: ")) << message;
}

TEST(RequestTest, FourForms) {
  const Request text = parse(R"({"id": "a", "text": "x"})");
  EXPECT_EQ(text.line, 12);
  EXPECT_EQ(std::get<std::string>(text.id), "a");
  EXPECT_EQ(std::get<std::string>(text.content.scored), "x");
  EXPECT_FALSE(text.content.context);

  const Request ids = parse(R"({"token_ids": [0, 2147483647], "id": -7})");
  EXPECT_EQ(std::get<int64_t>(ids.id), -7);
  EXPECT_EQ(std::get<Ids>(ids.content.scored), (Ids{0, 2147483647}));
  EXPECT_FALSE(ids.content.context);

  const Request pair = parse(R"({"id": 1, "context": "c", "continuation": "d"})");
  EXPECT_EQ(std::get<std::string>(*pair.content.context), "c");
  EXPECT_EQ(std::get<std::string>(pair.content.scored), "d");

  const Request id_pair =
      parse(R"({"id": 1, "continuation_token_ids": [5], "context_token_ids": []})");
  EXPECT_EQ(std::get<Ids>(*id_pair.content.context), Ids{});
  EXPECT_EQ(std::get<Ids>(id_pair.content.scored), Ids{5});
}

TEST(RequestTest, StringsAreUnescaped) {
  const Request request = parse(R"({"id": "\u00e9\"\n", "text": "\ud83d\ude00 \u0000."})");
  EXPECT_EQ(std::get<std::string>(request.id), "é\"\n");
  EXPECT_EQ(std::get<std::string>(request.content.scored), std::string("😀 \0.", 7));
}

TEST(RequestTest, OtherKeysAreIgnored) {
  const Request request = parse(
      R"({"note": {"id": [1.5, {"text": null}]}, "id": 1, "x": -1e400, "x": [[]], "text": ""})");
  EXPECT_EQ(std::get<int64_t>(request.id), 1);
  EXPECT_EQ(std::get<std::string>(request.content.scored), "");
}

TEST(RequestTest, IdsAreSixtyFourBits) {
  EXPECT_EQ(std::get<int64_t>(parse(R"({"id": 9223372036854775807, "text": ""})").id), INT64_MAX);
  EXPECT_EQ(std::get<int64_t>(parse(R"({"id": -9223372036854775808, "text": ""})").id), INT64_MIN);
  expect_refused(R"({"id": 9223372036854775808, "text": ""})", {"\"id\"", "9223372036854775807"});
  expect_refused(R"({"id": 99999999999999999999, "text": ""})", {"\"id\"", "integer"});
  expect_refused(R"({"id": 1.0, "text": ""})", {"\"id\" must be an integer or a string"});
  expect_refused(R"({"id": null, "text": ""})", {"\"id\"", "null"});
  expect_refused(R"({"id": [1], "text": ""})", {"\"id\"", "a list"});
  expect_refused(R"({"id": {}, "text": ""})", {"\"id\"", "an object"});
  expect_refused(R"({"id": true, "text": ""})", {"\"id\"", "true"});
  expect_refused(R"({"text": ""})", {"\"id\" is missing"});
}

TEST(RequestTest, WrongTypesNameTheKey) {
  expect_refused(R"({"id": 1, "text": 5})", {"\"text\" must be a string (found a number)"});
  expect_refused(R"({"id": 1, "text": 0.5})", {"\"text\" must be a string (found a number)"});
  expect_refused(R"({"id": 1, "context": ["a"], "continuation": ""})",
                 {"\"context\" must be a string (found a list)"});
  expect_refused(R"({"id": 1, "token_ids": "5 6"})",
                 {"\"token_ids\" must be a list of integers (found a string)"});
  expect_refused(R"({"id": 1, "token_ids": 5})", {"list of integers (found a number)"});
  expect_refused(R"({"id": 1, "token_ids": [1, 2, 3, "4"]})",
                 {"\"token_ids\" must be a list of integers (found a string at index 3)"});
  expect_refused(R"({"id": 1, "token_ids": [1, [2]]})", {"found a list at index 1"});
  expect_refused(R"({"id": 1, "token_ids": [{}]})", {"found an object at index 0"});
  expect_refused(R"({"id": 1, "token_ids": [null]})", {"found null at index 0"});
  expect_refused(R"({"id": 1, "token_ids": [1.0]})", {"not an integer", "at index 0"});
  expect_refused(R"({"id": 1, "token_ids": [1e2]})", {"not an integer", "at index 0"});
}

TEST(RequestTest, TokenIdsOutOfRange) {
  expect_refused(R"({"id": 1, "token_ids": [4, -1]})", {"\"token_ids\" holds -1 at index 1"});
  expect_refused(R"({"id": 1, "token_ids": [2147483648]})", {"2147483648 at index 0"});
  expect_refused(R"({"id": 1, "token_ids": [18446744073709551615]})", {"at index 0"});
}

TEST(RequestTest, ExactlyOneForm) {
  for (const char* line : {R"({"id": 1})", R"({"id": 1, "txt": "a"})"}) {
    expect_refused(line, {"none of these keys", "\"text\"", "\"continuation_token_ids\""});
  }
  expect_refused(R"({"id": 1, "text": "a", "token_ids": [1]})", {"found \"text\", \"token_ids\""});
  expect_refused(R"({"id": 1, "context": "a"})", {"(found \"context\")"});
  expect_refused(R"({"id": 1, "continuation": "a"})", {"(found \"continuation\")"});
  expect_refused(R"({"id": 1, "context": "a", "continuation_token_ids": [1]})",
                 {"found \"context\", \"continuation_token_ids\""});
  expect_refused(R"({"id": 1, "text": "a", "context": "a", "continuation": "b"})", {"found"});
}

TEST(RequestTest, KeysStandOnce) {
  expect_refused(R"({"id": 1, "id": 2, "text": ""})", {"\"id\" stands there twice"});
  expect_refused(R"({"id": 1, "text": "", "text": ""})", {"\"text\" stands there twice"});
  expect_refused(R"({"id": 1, "t\u0065xt": "", "text": ""})", {"\"text\" stands there twice"});
}

TEST(RequestTest, LinesThatAreNoObject) {
  expect_refused("", {"not valid JSON"});
  expect_refused("{\"id\": 1, \"text\": \"a", {"not valid JSON", "incomplete"});
  expect_refused(R"({"id": 1, "text": "a"} {})", {"not valid JSON", "extra data"});
  expect_refused(R"({"id": 1, "text": "a"},)", {"not valid JSON"});
  expect_refused(R"({id: 1})", {"not valid JSON"});
  expect_refused(R"({"id": 1, "text": "a",})", {"not valid JSON"});
  expect_refused("{\"id\": 1, \"text\": \"\xff\"}", {"not UTF-8 (from byte 19"});
  expect_refused(R"({"id": 1, "text": "\ud800"})", {"not valid JSON", "after 25 of 27"});
  expect_refused("{\"id\": 1, \"text\": \"a\nb\"}", {"not valid JSON"});
  expect_refused(R"({"id": 1, "token_ids": [NaN]})", {"not valid JSON"});
  expect_refused("[1]", {"expected a JSON object, found a list"});
  expect_refused("5", {"expected a JSON object, found a number"});
  expect_refused("\"text\"", {"expected a JSON object, found a string"});
  expect_refused("null", {"found null"});
}

TEST(RequestTest, NestingIsBounded) {
  const auto nested = [](int depth) {
    return R"({"id": 1, "text": "", "x": )" + std::string(depth, '[') + std::string(depth, ']') +
           "}";
  };
  EXPECT_EQ(std::get<int64_t>(parse(nested(31)).id), 1);
  expect_refused(nested(32), {"32 levels"});
  expect_refused(nested(1000000), {"32 levels"});
}

TEST(RequestTest, LongStringsComeWhole) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "word" + std::to_string(i) + " ";
  std::string escaped;  // strings with escapes reach the reader in parts
  for (const char letter : text) escaped += letter == ' ' ? "\\u0020" : std::string(1, letter);
  const Request request = parse("{\"id\": \"" + escaped + "\", \"text\": \"" + escaped + "\"}");
  EXPECT_EQ(std::get<std::string>(request.id), text);
  EXPECT_EQ(std::get<std::string>(request.content.scored), text);
}

TEST(RequestTest, DescribesIds) {
  EXPECT_EQ(describe(RequestId(int64_t{-5})), "-5");
  EXPECT_EQ(describe(RequestId("a\"b\n")), R"("a\"b\n")");
  EXPECT_EQ(describe(RequestId(std::string(60, 'x'))), '"' + std::string(60, 'x') + '"');
  EXPECT_EQ(describe(RequestId(std::string(61, 'x'))), '"' + std::string(60, 'x') + "\"...");
  // A character is not cut in two.
  EXPECT_EQ(describe(RequestId(std::string(59, 'x') + "éx")), '"' + std::string(59, 'x') + "\"...");
}

}  // namespace
}  // namespace switchyard
