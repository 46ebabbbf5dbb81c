// From requests to the ids that are scored.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "runtime/requests/line_reader.h"
#include "runtime/requests/score_input.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

/// Digits are their own ids, '.' is </s>.
class DigitTokenizer final : public Tokenizer {
 public:
  Ids encode(std::string_view text, SpecialTokens) const override {
    Ids ids;
    for (const char letter : text) ids.push_back(letter == '.' ? 2 : letter - '0');
    return ids;
  }
  std::string decode(std::span<const int32_t>, SpecialText) const override { return ""; }
  int64_t vocab_size() const override { return 10; }
};

ScoreInputOptions default_options() {
  ScoreInputOptions options;
  options.vocab_size = 10;
  options.max_positions = 6;
  options.source = "IN.jsonl";
  options.tokenizer_help = "name one with --tokenizer DIR";
  return options;
}

ScoreSequence prepare(std::string_view line, const ScoreInputOptions& options = default_options()) {
  const DigitTokenizer tokenizer;
  return prepare_score_input(parse_request(line, 3, "IN.jsonl"), &tokenizer, options);
}

ScoreSequence prepare_text(const std::string& text) {
  return prepare("{\"id\": 1, \"text\": \"" + text + "\"}");
}

ScoreSequence prepare_pair(const std::string& context, const std::string& continuation,
                           const ScoreInputOptions& options = default_options()) {
  return prepare(
      "{\"id\": 1, \"context\": \"" + context + "\", \"continuation\": \"" + continuation + "\"}",
      options);
}

void expect_sequence(const ScoreSequence& sequence, const Ids& ids, int64_t num_scored) {
  EXPECT_EQ(sequence.token_ids, ids);
  EXPECT_EQ(sequence.num_scored, num_scored);
}

TEST(ScoreInputTest, TextsLoseEosAtBothEnds) {
  expect_sequence(prepare_text("567"), {5, 6, 7}, 3);
  expect_sequence(prepare_text("..5..6..."), {5, 2, 2, 6}, 4);
  expect_sequence(prepare_text("..."), {}, 0);
  expect_sequence(prepare_text(""), {}, 0);
  EXPECT_FALSE(prepare_text("5").is_pair);
}

TEST(ScoreInputTest, TokenIdsStayAsTheyAre) {
  expect_sequence(prepare(R"({"id": 1, "token_ids": [2, 5, 2, 2]})"), {2, 5, 2, 2}, 4);
  expect_sequence(prepare(R"({"id": 1, "token_ids": []})"), {}, 0);
  expect_sequence(
      prepare(R"({"id": 1, "context_token_ids": [2, 5], "continuation_token_ids": [6, 2]})"),
      {2, 5, 6, 2}, 2);
}

TEST(ScoreInputTest, PairsAreJoinedThenStripped) {
  EXPECT_TRUE(prepare_pair("5", "6").is_pair);
  expect_sequence(prepare_pair("56", "78"), {5, 6, 7, 8}, 2);
  expect_sequence(prepare_pair(".56.", ".7"), {5, 6, 2, 2, 7}, 2);
  expect_sequence(prepare_pair("5", "67.."), {5, 6, 7}, 2);
  expect_sequence(prepare_pair("5.", ".."), {5}, 0);
  expect_sequence(prepare_pair(".", "..67"), {6, 7}, 2);
  expect_sequence(prepare_pair("", ".6"), {6}, 1);
  expect_sequence(prepare_pair("5", ""), {5}, 0);
  expect_sequence(prepare_pair("", ""), {}, 0);
  expect_sequence(prepare_pair(".", "."), {}, 0);
}

TEST(ScoreInputTest, IdsOutsideTheVocabulary) {
  EXPECT_EQ(prepare(R"({"id": 1, "token_ids": [9]})").num_scored, 1);
  expect_error(ErrorKind::kInput, {"IN.jsonl:3", "request \"a\"", "token_ids[1] is 10", "0 to 9"},
               [] { prepare(R"({"id": "a", "token_ids": [9, 10]})"); });
  const auto bad_context = [] {
    prepare(R"({"id": 1, "context_token_ids": [11], "continuation_token_ids": [5]})");
  };
  expect_error(ErrorKind::kInput, {"context_token_ids[0] is 11"}, bad_context);
  const auto bad_continuation = [] {
    prepare(R"({"id": 1, "context_token_ids": [], "continuation_token_ids": [5, 12]})");
  };
  expect_error(ErrorKind::kInput, {"continuation_token_ids[1] is 12"}, bad_continuation);
}

TEST(ScoreInputTest, TheStartTokenTakesAPosition) {
  EXPECT_EQ(prepare_text("55555").num_scored, 5);
  EXPECT_EQ(prepare_text(".55555.").num_scored, 5);  // what is stripped does not count
  expect_error(ErrorKind::kInput,
               {"IN.jsonl:3", "request 1", "6 tokens", "positions for 5", "--truncate left"},
               [] { prepare_text("555555"); });
  expect_error(ErrorKind::kInput, {"6 tokens"}, [] { prepare_pair("555", "666"); });
}

TEST(ScoreInputTest, TruncationDropsFromTheLeft) {
  ScoreInputOptions options = default_options();
  options.truncate = Truncate::kLeft;
  expect_sequence(prepare(R"({"id": 1, "text": "3456789"})", options), {5, 6, 7, 8, 9}, 5);
  expect_sequence(prepare(R"({"id": 1, "text": "56789"})", options), {5, 6, 7, 8, 9}, 5);
  expect_sequence(prepare_pair("3456", "789", options), {5, 6, 7, 8, 9}, 3);
  expect_sequence(prepare_pair("3456", "56789", options), {5, 6, 7, 8, 9}, 5);
  expect_error(ErrorKind::kInput, {"request 1", "continuation of 6 tokens", "positions for 5"},
               [&] { prepare_pair("3", "456789", options); });
}

TEST(ScoreInputTest, TextsNeedATokenizer) {
  const ScoreInputOptions options = default_options();
  const auto prepare_without = [&](std::string_view line) {
    return prepare_score_input(parse_request(line, 3, "IN.jsonl"), nullptr, options);
  };
  expect_sequence(prepare_without(R"({"id": 1, "token_ids": [5]})"), {5}, 1);
  for (const char* line :
       {R"({"id": 1, "text": "5"})", R"({"id": 1, "context": "5", "continuation": "6"})"}) {
    expect_error(ErrorKind::kInput, {"IN.jsonl:3", "needs a tokenizer", "--tokenizer DIR"},
                 [&] { prepare_without(line); });
  }
}

/// Letters are ids from 1 on, "ab" is one token, 9, and 0 stands before a text.
class LetterTokenizer final : public Tokenizer {
 public:
  Ids encode(std::string_view text, SpecialTokens special) const override {
    Ids ids;
    if (special == SpecialTokens::kAdd) ids.push_back(0);
    for (size_t at = 0; at < text.size(); ++at) {
      const bool is_pair = text.substr(at, 2) == "ab";
      ids.push_back(is_pair ? 9 : text[at] == ' ' ? 7 : text[at] - 'a' + 1);
      if (is_pair) ++at;
    }
    return ids;
  }
  std::string decode(std::span<const int32_t>, SpecialText) const override { return ""; }
  int64_t vocab_size() const override { return 10; }
};

ScoreInputOptions hugging_face_options() {
  ScoreInputOptions options = default_options();
  options.convention = TextConvention::kHuggingFace;
  options.pad = -1;
  options.eos = -1;
  return options;
}

ScoreSequence prepare_letters(std::string_view line,
                              const ScoreInputOptions& options = hugging_face_options()) {
  const LetterTokenizer tokenizer;
  return prepare_score_input(parse_request(line, 3, "IN.jsonl"), &tokenizer, options);
}

TEST(ScoreInputHuggingFaceTest, NothingStandsBeforeTheFirstToken) {
  const ScoreSequence text = prepare_letters(R"({"id": 1, "text": "cab"})");
  expect_sequence(text, {0, 3, 9}, 3);
  EXPECT_EQ(text.first_token, FirstToken::kAlone);
  EXPECT_EQ(text.num_rows(), 2);
  EXPECT_EQ(text.num_logprobs(), 2);
  const ScoreSequence ids = prepare_letters(R"({"id": 1, "token_ids": [2, 1, 2]})");
  expect_sequence(ids, {2, 1, 2}, 3);
  EXPECT_EQ(ids.num_logprobs(), 2);
  const ScoreSequence empty = prepare_letters(R"({"id": 1, "token_ids": []})");
  EXPECT_EQ(empty.num_rows(), 0);
  EXPECT_EQ(empty.num_logprobs(), 0);
  const ScoreSequence pair =
      prepare_letters(R"({"id": 1, "context_token_ids": [5], "continuation_token_ids": [6, 2]})");
  EXPECT_EQ(pair.num_rows(), 2);
  EXPECT_EQ(pair.num_logprobs(), 2);
  const ScoreSequence fairseq = prepare_text("567");
  EXPECT_EQ(fairseq.first_token, FirstToken::kAfterStart);
  EXPECT_EQ(fairseq.num_rows(), 3);
  EXPECT_EQ(fairseq.num_logprobs(), 3);
  ScoreInputOptions plain = hugging_face_options();
  plain.special_tokens = SpecialTokens::kNone;
  expect_sequence(prepare_letters(R"({"id": 1, "text": "cab"})", plain), {3, 9}, 2);
}

TEST(ScoreInputHuggingFaceTest, SpacesMoveFromTheContextToTheContinuation) {
  const auto pair = [](const std::string& context, const std::string& continuation) {
    return prepare_letters("{\"id\": 1, \"context\": \"" + context + "\", \"continuation\": \"" +
                           continuation + "\"}");
  };
  expect_sequence(pair("c", "d"), {0, 3, 4}, 1);
  expect_sequence(pair("c  ", "d"), {0, 3, 7, 7, 4}, 3);
  expect_sequence(pair("c", " d"), {0, 3, 7, 4}, 2);
  expect_sequence(pair("  ", "d"), {0, 7, 7, 4}, 3);
  // Both together have as many tokens as the context alone: none is left to score.
  expect_sequence(pair("a", "b"), {0, 1}, 0);
  // The context keeps its own tokens.
  expect_sequence(pair("a", "bc"), {0, 1, 3}, 1);
  expect_sequence(pair("c", ""), {0, 3}, 0);
  EXPECT_TRUE(pair("c", "d").is_pair);
}

TEST(ScoreInputHuggingFaceTest, EveryPositionHoldsAToken) {
  ScoreInputOptions options = hugging_face_options();
  const auto ids = [&](const char* line) { return prepare_letters(line, options); };
  EXPECT_EQ(ids(R"({"id": 1, "token_ids": [1,2,3,4,5,6]})").num_scored, 6);
  expect_error(ErrorKind::kInput, {"7 tokens", "positions for 6;", "--truncate left"},
               [&] { ids(R"({"id": 1, "token_ids": [1,2,3,4,5,6,7]})"); });
  options.truncate = Truncate::kLeft;
  expect_sequence(ids(R"({"id": 1, "token_ids": [1,2,3,4,5,6,7]})"), {2, 3, 4, 5, 6, 7}, 6);
  expect_sequence(
      ids(R"({"id": 1, "context_token_ids": [1,2,3], "continuation_token_ids": [4,5,6,7,8]})"),
      {3, 4, 5, 6, 7, 8}, 5);
  expect_error(ErrorKind::kInput, {"continuation of 6 tokens", "positions for 5", "context's last"},
               [&] {
                 ids(R"({"id": 1, "context_token_ids": [1],
                         "continuation_token_ids": [2,3,4,5,6,7]})");
               });
  // <pad> is a token like any other there.
  options.pad = 5;
  EXPECT_EQ(ids(R"({"id": 1, "token_ids": [5]})").num_scored, 1);
}

/// Requests of the small trained model against the ids that the reference scored.
void expect_reference_ids(const std::string& requests, const std::string& expected,
                          Newlines newlines, int expected_count) {
  const std::string model = std::string(SWITCHYARD_TEST_DATA) + "/trained_moe_8e";
  const auto tokenizer = load_fairseq_tokenizer({model, model + "/dict.txt"}, 2936, newlines);
  ScoreInputOptions options;
  options.vocab_size = 2936;
  options.max_positions = 1024;
  LineReader reader(model + "/" + requests);
  std::ifstream results(model + "/" + expected);
  int count = 0;
  for (std::string result; std::getline(results, result); ++count) {
    const auto line = reader.next();
    ASSERT_TRUE(line);
    const Request request = parse_request(*line, reader.line_number(), reader.name());
    const ScoreSequence sequence = prepare_score_input(request, tokenizer.get(), options);
    const auto ids = boost::json::value_to<Ids>(boost::json::parse(result).at("token_ids"));
    EXPECT_EQ(Ids(sequence.token_ids.end() - sequence.num_scored, sequence.token_ids.end()), ids)
        << *line;
  }
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(count, expected_count);
}

TEST(ScoreInputTest, AgreesWithTheReference) {
  expect_reference_ids("requests_text.jsonl", "expected_text_keep.jsonl", Newlines::kKeep, 32);
  expect_reference_ids("requests_text_eos.jsonl", "expected_text_eos.jsonl", Newlines::kEos, 31);
  expect_reference_ids("requests_pairs.jsonl", "expected_pairs.jsonl", Newlines::kEos, 24);
  expect_reference_ids("requests_pairs_token_ids.jsonl", "expected_pairs.jsonl", Newlines::kKeep,
                       24);
  expect_reference_ids("requests_token_ids.jsonl", "expected_token_ids.jsonl", Newlines::kKeep, 13);
}

}  // namespace
}  // namespace switchyard
