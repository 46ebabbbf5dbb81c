// Models and added tokens of tokenizer.json; expected ids are of tokenizers 0.22.2.
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/runtime/expect_error.h"
#include "tests/runtime/tokenizer_json_file.h"

namespace switchyard {
namespace {

std::string bpe(const std::string& vocab, const std::string& merges,
                const std::string& settings = "") {
  return R"({"type": "BPE", "vocab": {)" + vocab + R"(}, "merges": [)" + merges + "]" + settings +
         "}";
}

Ids encode_with(const std::string& model, std::string_view text) {
  TokenizerJson json;
  json.model = model;
  return encode(*json.load(), text);
}

TEST(TokenizerJsonBpe, JoinsTheLowestRankFirstAndOfEqualOnesTheLeftmost) {
  const std::string vocab = R"("a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "aa": 5, "abc": 6)";
  EXPECT_EQ(encode_with(bpe(vocab, R"("b c", "a b")"), "abc"), (Ids{0, 4}));
  EXPECT_EQ(encode_with(bpe(vocab, R"("a b", "b c", "ab c")"), "abc"), (Ids{6}));
  EXPECT_EQ(encode_with(bpe(vocab, R"(["a", "a"])"), "aaaaa"), (Ids{5, 5, 0}));
  EXPECT_EQ(encode_with(R"({"vocab": {"a": 0}, "merges": []})", "aa"), (Ids{0, 0}));
}

TEST(TokenizerJsonBpe, ALongWordTakesAboutLinearTime) {
  std::string text(1 << 20, 'a');
  const auto start = std::chrono::steady_clock::now();
  const Ids ids = encode_with(bpe(R"("a": 0, "aa": 1, "aaaa": 2)", R"("a a", "aa aa")"), text);
  EXPECT_EQ(ids, Ids(1 << 18, 2));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(TokenizerJsonBpe, UnknownCharacters) {
  const std::string vocab = R"("a": 0, "u": 1, "<0xC3>": 2, "<0xA9>": 3, "<0x78>": 4)";
  // Without a token for them they are dropped.
  EXPECT_EQ(encode_with(bpe(vocab, ""), "axyaé"), (Ids{0, 0}));
  EXPECT_EQ(encode_with(bpe(vocab, "", R"(, "unk_token": "u")"), "axyaé"), (Ids{0, 1, 1, 0, 1}));
  EXPECT_EQ(encode_with(bpe(vocab, "", R"(, "unk_token": "u", "fuse_unk": true)"), "axyaé"),
            (Ids{0, 1, 0, 1}));
  EXPECT_EQ(encode_with(bpe(vocab, "", R"(, "unk_token": "u", "byte_fallback": true)"), "axéa"),
            (Ids{0, 4, 2, 3, 0}));
  // An unknown character goes behind the bytes that follow it, as in the reference.
  EXPECT_EQ(encode_with(bpe(vocab, "", R"(, "unk_token": "u", "byte_fallback": true)"), "yxa"),
            (Ids{4, 1, 0}));
  expect_error(ErrorKind::kInput, {"tokenizer.json: model", "\"unk_token\" 'none'"},
               [&] { encode_with(bpe(vocab, "", R"(, "unk_token": "none")"), "x"); });
}

TEST(TokenizerJsonBpe, PrefixesSuffixesAndWholeWords) {
  const std::string vocab =
      R"("a": 0, "##b": 1, "##b!": 2, "ab": 3, "ab!": 4, "a!": 5, "ab ab": 6, " ": 7, "##a": 8)";
  EXPECT_EQ(encode_with(bpe(vocab, R"("a ##b")", R"(, "continuing_subword_prefix": "##")"), "abba"),
            (Ids{3, 1, 8}));
  EXPECT_EQ(encode_with(bpe(vocab, "", R"(, "continuing_subword_prefix": "##",
                                          "end_of_word_suffix": "!")"),
                        "abb"),
            (Ids{0, 1, 2}));
  EXPECT_EQ(encode_with(bpe(vocab, "", R"(, "end_of_word_suffix": "!")"), "a"), (Ids{5}));
  EXPECT_EQ(encode_with(bpe(vocab, "", R"(, "ignore_merges": true)"), "ab ab"), (Ids{6}));
}

TEST(TokenizerJsonUnigram, TakesTheBestPathAndFusesUnknowns) {
  const std::string vocab =
      R"(["<unk>", 0], ["a", 0], ["b", 0.0], ["c", 0], ["d", 0], ["cd", 1], ["ab", 2], ["abc", 5],
         ["abcd", 10], ["<0xC3>", -5], ["<0xA9>", -5])";
  const auto model = [&](const std::string& settings) {
    return R"({"type": "Unigram", "vocab": [)" + vocab + "]" + settings + "}";
  };
  EXPECT_EQ(encode_with(model(R"(, "unk_id": 0)"), "abcdacdxxa"), (Ids{8, 1, 5, 0, 1}));
  EXPECT_EQ(encode_with(model(R"(, "unk_id": 0, "byte_fallback": true)"), "aéax"),
            (Ids{1, 9, 10, 1, 0}));
  EXPECT_EQ(encode_with(model(R"(, "unk_id": 0, "byte_fallback": true)"), "éx"), (Ids{0}));
  EXPECT_EQ(encode_with(model(R"(, "unk_id": null)"), "ab"), (Ids{6}));
  expect_error(ErrorKind::kInput, {"model", "no \"unk_id\""},
               [&] { encode_with(model(""), "abx"); });
}

TokenizerJson with_added(const std::string& tokens) {
  TokenizerJson json;
  json.model = bpe(R"("a": 0, "b": 1, " ": 2, "\n": 3)", "");
  json.added_tokens = "[" + tokens + "]";
  return json;
}

TEST(TokenizerJsonAddedTokens, TheLongestOfTheLeftmostCounts) {
  const auto tokenizer = with_added(added_token(4, "<s>") + "," + added_token(5, "<s>a") + "," +
                                    added_token(6, "s>aa"))
                             .load();
  EXPECT_EQ(encode(*tokenizer, "b<s>aa<s>b"), (Ids{1, 5, 0, 4, 1}));
  EXPECT_EQ(encode(*tokenizer, "<<s><s"), (Ids{4}));
  EXPECT_EQ(tokenizer->vocab_size(), 7);
}

TEST(TokenizerJsonAddedTokens, FlagsSayWhereATokenIsFound) {
  const auto left = with_added(added_token(4, "X", "lstrip")).load();
  EXPECT_EQ(encode(*left, "a \n X b"), (Ids{0, 4, 2, 1}));
  const auto right = with_added(added_token(4, "X", "rstrip")).load();
  EXPECT_EQ(encode(*right, "a X \u3000\nb"), (Ids{0, 2, 4, 1}));
  const auto single = with_added(added_token(4, "X", "single_word")).load();
  EXPECT_EQ(encode(*single, "X Xa bX aX.X_X-X"), (Ids{4, 2, 0, 2, 1, 2, 0, 4}));
}

TEST(TokenizerJsonAddedTokens, TokensOfWhiteSpaceMeetThoseThatTakeIt) {
  const auto newline =
      with_added(added_token(4, "X", "rstrip") + "," + added_token(3, "\\n")).load();
  EXPECT_EQ(encode(*newline, "aX\nb"), (Ids{0, 4, 3, 1}));
  EXPECT_EQ(encode(*newline, "aX \n \nb"), (Ids{0, 4, 3, 2, 3, 1}));
  const auto space = with_added(added_token(2, " ", "lstrip")).load();
  EXPECT_EQ(encode(*space, "a \n  b"), (Ids{0, 2, 2, 2, 1}));
}

TEST(TokenizerJsonAddedTokens, NormalizedOnesAreLookedForInNormalizedText) {
  TokenizerJson json = with_added(added_token(4, "XA", "normalized") + "," + added_token(5, "XB"));
  json.normalizer = R"({"type": "Lowercase"})";
  const auto tokenizer = json.load();
  EXPECT_EQ(encode(*tokenizer, "XAxaXBxb"), (Ids{4, 4, 5, 1}));
}

TEST(TokenizerJsonAddedTokens, SpecialOnesAreLeftOutOnRequest) {
  const auto tokenizer =
      with_added(added_token(4, "<s>", "special") + "," + added_token(5, "<t>")).load();
  const Ids ids = {4, 0, 5, 1, 99};
  // Without a decoder the pieces are joined by spaces; an id that no token has gives nothing.
  EXPECT_EQ(tokenizer->decode(ids, SpecialText::kKeep), "<s> a <t> b");
  EXPECT_EQ(tokenizer->decode(ids, SpecialText::kSkip), "a <t> b");
  expect_error(ErrorKind::kInput, {"id -1"},
               [&] { tokenizer->decode(Ids{-1}, SpecialText::kKeep); });
}

TEST(TokenizerJsonTokenizer, PostProcessorAndInvalidUtf8) {
  TokenizerJson json;
  json.model = bpe(R"("a": 0, "b": 1, "\uFFFD": 2)", "");
  json.post_processor = R"({"type": "BertProcessing", "sep": ["b", 1], "cls": ["a", 0]})";
  const auto tokenizer = json.load();
  EXPECT_EQ(tokenizer->encode("ab\xFF", SpecialTokens::kAdd), (Ids{0, 0, 1, 2, 1}));
  EXPECT_EQ(tokenizer->encode("ab\xFF", SpecialTokens::kNone), (Ids{0, 1, 2}));
  EXPECT_EQ(tokenizer->encode("", SpecialTokens::kAdd), (Ids{0, 1}));
  EXPECT_EQ(tokenizer->encode("", SpecialTokens::kNone), Ids{});
}

}  // namespace
}  // namespace switchyard
