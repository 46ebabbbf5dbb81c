// Regular expressions of tokenizer.json: what they match in the library they are written for.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/json/oniguruma.h"
#include "runtime/tokenizer/json/split_behavior.h"
#include "runtime/tokenizer/json/text_pattern.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

using Texts = std::vector<std::string>;

std::unique_ptr<const TextPattern> regex(std::string_view expression) {
  const boost::json::value entry = {{"Regex", expression}};
  return make_text_pattern(JsonNode(entry, "file.json: pattern"));
}

Texts cut(const TextPattern& pattern, std::string_view text,
          SplitBehavior behavior = SplitBehavior::kIsolated,
          SplitSense sense = SplitSense::kMatchesCut) {
  Texts words;
  for (const TextSpan& span : join_parts(pattern.cut(text), behavior, sense)) {
    if (span.begin < span.end) words.emplace_back(text.substr(span.begin, span.end - span.begin));
  }
  return words;
}

struct Case {
  const char* expression;
  const char* text;
  Texts words;
};

// Computed by tokenizers 0.22.2: Split(Regex(...), "isolated").
TEST(TokenizerJsonRegex, MatchesWhatOnigurumaMatches) {
  const std::vector<Case> cases = {
      {R"(\s+$)", "a  \n b \nc  ", {"a", "  ", "\n b", " ", "\nc", "  "}},
      {R"(^.)", "ab\ncd", {"a", "b\n", "c", "d"}},
      {R"(.+)", "a\rb\nc\u2028d", {"a\rb", "\n", "c\u2028d"}},
      {R"(.\Z)", "ab\n", {"a", "b", "\n"}},
      {R"(\h+)", "xAf09Gg", {"x", "Af09", "Gg"}},
      {R"(\w+)", "a_1²é-漢", {"a_1²é", "-", "漢"}},
      {R"([\w-]+)", "a²-b", {"a", "²", "-b"}},
      {R"([^\W\d_]+)", "a1_é", {"a", "1_", "é"}},
      {R"(\b)", "ab cd", {"ab", " ", "cd"}},
      {R"(a{2}?)", "aaaaa", {"aa", "aa", "a"}},
      {R"(a{1,2}+)", "aaab", {"aaa", "b"}},
      {R"(a{,2}b)", "aaab", {"a", "aab"}},
      {R"(a++a|a)", "aa", {"a", "a"}},
      {R"((?i:'s))", "x'S'ſ", {"x", "'S", "'ſ"}},
      {R"((?m:a.b))", "a\nb a.b", {"a\nb", " ", "a.b"}},
      {R"([a-z&&[^aeiou]]+)", "abcde", {"a", "bcd", "e"}},
      {R"(\p{^L}+)", "a1 b", {"a", "1 ", "b"}},
      {R"(\p{Han}+|\p{L})", "漢字ab", {"漢字", "a", "b"}},
      {R"([[:upper:]][[:lower:]]*)", "HelloWorld", {"Hello", "World"}},
      {R"(x*)", "axb", {"a", "x", "b"}},
      {R"((?<=a)b|(?<!a)c)", "abcac", {"a", "b", "c", "ac"}},
      {R"(\s+(?!\S)|\s+)", "a   b  ", {"a", "  ", " ", "b", "  "}},
      {R"((?<word>a)(?#not a group)\x62|\x{e9})", "abé", {"ab", "é"}},
      {R"(a{x|\}|]|#)", "a{x}]#", {"a{x", "}", "]", "#"}},
  };
  for (const Case& test : cases) {
    EXPECT_EQ(cut(*regex(test.expression), test.text), test.words) << test.expression;
  }
}

TEST(TokenizerJsonRegex, EveryBehaviorAndItsInverse) {
  const auto digit = regex(R"(\d)");
  const auto words = [&](SplitBehavior behavior) { return cut(*digit, "a1b22c", behavior); };
  const auto inverse = [&](SplitBehavior behavior) {
    return cut(*digit, "a1b22c", behavior, SplitSense::kMatchesStay);
  };
  const Texts all = {"a", "1", "b", "2", "2", "c"};
  EXPECT_EQ(words(SplitBehavior::kRemoved), (Texts{"a", "b", "c"}));
  EXPECT_EQ(inverse(SplitBehavior::kRemoved), (Texts{"1", "2", "2"}));
  EXPECT_EQ(words(SplitBehavior::kIsolated), all);
  EXPECT_EQ(inverse(SplitBehavior::kIsolated), all);
  EXPECT_EQ(words(SplitBehavior::kMergedWithPrevious), (Texts{"a1", "b2", "2", "c"}));
  EXPECT_EQ(inverse(SplitBehavior::kMergedWithPrevious), (Texts{"a", "1b", "2", "2c"}));
  EXPECT_EQ(words(SplitBehavior::kMergedWithNext), (Texts{"a", "1b", "2", "2c"}));
  EXPECT_EQ(inverse(SplitBehavior::kMergedWithNext), (Texts{"a1", "b2", "2", "c"}));
  EXPECT_EQ(words(SplitBehavior::kContiguous), (Texts{"a", "1", "b", "22", "c"}));
  EXPECT_EQ(inverse(SplitBehavior::kContiguous), (Texts{"a", "1", "b", "22", "c"}));
  EXPECT_EQ(cut(*digit, "12a", SplitBehavior::kMergedWithPrevious), (Texts{"1", "2", "a"}));
  EXPECT_EQ(cut(*digit, "12a", SplitBehavior::kContiguous), (Texts{"12", "a"}));
}

TEST(TokenizerJsonRegex, RefusesByNameWhatItCannotTranslate) {
  const auto refused = [](std::string_view expression, std::string_view why) {
    expect_error(ErrorKind::kInput, {"file.json: entry", why, "regular expression"},
                 [&] { translate_oniguruma(expression, "file.json: entry"); });
  };
  refused(R"((a)\1)", "\\1");
  refused(R"(\X)", "\\X");
  refused(R"(\G)", "\\G");
  refused(R"(\p{Emoji})", "Emoji");
  refused(R"(\p{Punct})", "Punct");
  refused(R"([[:punct:]])", "punct");
  refused(R"((?x: a))", "option 'x'");
  refused(R"(a(?i)b|c)", "within an alternative");
  refused(R"((?i:\p{Lu}))", "where case is ignored");
  refused(R"((?i:ß))", "where case is ignored");
  refused(R"(a**)", "repeats nothing or a repetition");
  refused(R"(a{3,2})", "{3,2}");
  refused(R"(a{1,100000})", "{1,100000}");
  refused(R"((a)", "( without a )");
  refused(R"(a))", ") without a (");
  refused(R"([a)", "ends too early");
  refused(R"([b-a])", "range");
  refused(R"(\xff)", "byte of UTF-8");
  refused(R"(\x{D800})", "no character");
  refused("a\\", "ends too early");
  refused(std::string(1000, '('), "too deep");
  refused(std::string(1000, '['), "too deep");
}

// A run that ends in what the expression does not want is tried once, not from each of its
// characters: 200,000 of them would take minutes.
TEST(TokenizerJsonRegex, LongRunsTakeLinearTime) {
  const std::string spaces(200'000, ' ');
  const auto start = std::chrono::steady_clock::now();
  for (const char* expression : {R"(\s+$)", R"(\s*[\r\n]+)", R"(a|\s+?\d)", R"(\s+[a-z]+)"}) {
    EXPECT_EQ(cut(*regex(expression), spaces + "X").size(), 1u) << expression;
  }
  EXPECT_EQ(cut(*regex(R"(\s+(?!\S)|\s+)"), spaces + "X").size(), 3u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(TokenizerJsonRegex, RunsAfterAMatchAreTriedFromItsEnd) {
  EXPECT_EQ(cut(*regex(R"(a {2}| +b)"), "a    b"), (Texts{"a  ", "  b"}));
}

TEST(TokenizerJsonRegex, PlainTextIsNoExpression) {
  const boost::json::value entry = {{"String", "a.b"}};
  const auto pattern = make_text_pattern(JsonNode(entry, "file.json: pattern"));
  EXPECT_EQ(cut(*pattern, "a.baxba.ba.b"), (Texts{"a.b", "axb", "a.b", "a.b"}));
  const boost::json::value empty = {{"String", ""}};
  expect_error(ErrorKind::kInput, {"file.json: pattern.String", "empty"},
               [&] { make_text_pattern(JsonNode(empty, "file.json: pattern")); });
}

}  // namespace
}  // namespace switchyard
