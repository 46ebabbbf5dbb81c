// Regular expressions over UTF-8.
#include "runtime/tokenizer/regex_splitter.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

using Words = std::vector<std::string>;

constexpr char kO200k[] =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Words split(const std::string& pattern, const std::string& text) {
  const RegexSplitter splitter(pattern, "a test");
  Words words;
  for (const auto& [begin, end] : splitter.find_all(text)) {
    words.push_back(text.substr(begin, end - begin));
  }
  return words;
}

TEST(RegexSplitter, MatchesAreBytesOfTheText) {
  const RegexSplitter letters("\\p{L}+", "a test");
  using Matches = std::vector<RegexSplitter::Match>;
  EXPECT_EQ(letters.find_all("aé1日本 😀𝒳b"), (Matches{{0, 3}, {4, 10}, {15, 20}}));
  EXPECT_EQ(letters.find_all(""), Matches{});
  EXPECT_EQ(letters.find_all("12"), Matches{});
  EXPECT_EQ(RegexSplitter("b*", "a test").find_all("ab"), (Matches{{0, 0}, {1, 2}, {2, 2}}));
  EXPECT_EQ(letters.find_all(std::string_view("a\0b", 3)), (Matches{{0, 1}, {2, 3}}));
}

TEST(RegexSplitter, UnderstandsThePatternsOfReleasedTokenizers) {
  EXPECT_EQ(split(kO200k, "HelloWORLDs it'S 12345  \n\n /x\n"),
            (Words{"Hello", "WORLDs", " it'S", " ", "123", "45", "  \n\n", " /", "x", "\n"}));
  EXPECT_EQ(split("[\\p{Lu}\\p{Lo}&&[^\\p{Han}]]+|\\p{Han}+", "AB日本אC"),
            (Words{"AB", "日本", "אC"}));
  EXPECT_EQ(split("\\p{L}++|(?>\\s+)(?!\\S)|.", "ab  c"), (Words{"ab", " ", " ", "c"}));
}

// The characters of Unicode's White_Space that other definitions leave out, and such as only look
// white.
TEST(RegexSplitter, SpaceIsUnicodesWhiteSpace) {
  for (const char* space : {"\t", "\n", "\v", "\f", "\r", " ", "\u0085", "\u00A0", "\u1680",
                            "\u2009", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"}) {
    EXPECT_EQ(split("\\s", space).size(), 1u) << testing::PrintToString(space);
  }
  for (const char* other : {"\x1C", "\x1F", "\u200B", "\u2060", "\u180E", "\uFEFF"}) {
    EXPECT_EQ(split("\\S", other).size(), 1u) << testing::PrintToString(other);
  }
  EXPECT_EQ(split(".+", "a\r\v\u0085\u2028b\nc"), (Words{"a\r\v\u0085\u2028b", "c"}));
}

TEST(RegexSplitter, LongWordsTakeLinearTime) {
  for (const char* unit : {"a", "A", " ", "日", "\n", "!", "1", "\u0301"}) {
    std::string text;
    while (text.size() < 300'000) text += unit;
    size_t size = 0;
    for (const std::string& word : split(kO200k, text)) size += word.size();
    EXPECT_EQ(size, text.size());
  }
}

TEST(RegexSplitter, WrongPatternsAreRefusedByName) {
  for (const char* pattern : {"(", "[a", "a{2,1}", "(?<=a*)b", "\\p{Nonsense}", "*"}) {
    expect_error(ErrorKind::kInput, {"file.json: pattern", "cannot be compiled", pattern},
                 [&] { RegexSplitter(pattern, "file.json: pattern"); });
  }
  expect_error(ErrorKind::kInput, {"not UTF-8 from byte 1"},
               [] { RegexSplitter("a\xFF", "file.json"); });
}

TEST(RegexSplitter, EndlessBacktrackingEndsWithAnError) {
  const RegexSplitter splitter("(?:a|b|ab)*(?:a|b|ab)*c", "file.json");
  std::string text;
  for (int i = 0; i < 200; ++i) text += "ab";
  expect_error(ErrorKind::kInput, {"file.json", "400 bytes"}, [&] { splitter.find_all(text); });
}

}  // namespace
}  // namespace switchyard
