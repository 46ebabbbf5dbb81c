// How texts are cut into words, and UTF-8 that is wrong.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/gpt2_words.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

using Words = std::vector<std::string>;

Words split(std::string_view text) {
  Gpt2Words words(text);
  Words result;
  for (auto word = words.next(); !word.empty(); word = words.next()) result.emplace_back(word);
  EXPECT_TRUE(words.next().empty());
  return result;
}

TEST(Gpt2WordsTest, TakesOneSpaceIntoTheNextWord) {
  EXPECT_EQ(split("Hello world"), (Words{"Hello", " world"}));
  EXPECT_EQ(split("a  b"), (Words{"a", " ", " b"}));
  EXPECT_EQ(split("a   1"), (Words{"a", "  ", " 1"}));
  EXPECT_EQ(split(" ."), (Words{" ."}));
}

TEST(Gpt2WordsTest, OtherWhiteSpaceStaysAlone) {
  EXPECT_EQ(split("a\nb"), (Words{"a", "\n", "b"}));
  EXPECT_EQ(split("a\n\nb"), (Words{"a", "\n", "\n", "b"}));
  EXPECT_EQ(split("a\n b"), (Words{"a", "\n", " b"}));
  EXPECT_EQ(split("a \nb"), (Words{"a", " ", "\n", "b"}));
  EXPECT_EQ(split("\u00A0x\u3000\u3000y"), (Words{"\u00A0", "x", "\u3000", "\u3000", "y"}));
}

TEST(Gpt2WordsTest, SpacesAtTheEndAreOneWord) {
  EXPECT_EQ(split("a  \n "), (Words{"a", "  \n "}));
  EXPECT_EQ(split(" "), (Words{" "}));
  EXPECT_EQ(split(""), Words{});
}

TEST(Gpt2WordsTest, LettersNumbersAndTheRestAreApart) {
  EXPECT_EQ(split("v1.2rc"), (Words{"v", "1", ".", "2", "rc"}));
  EXPECT_EQ(split("x²½Ⅷ١ñ中"), (Words{"x", "²½Ⅷ١", "ñ中"}));
  EXPECT_EQ(split("e\u0301a"), (Words{"e", "\u0301", "a"}));  // a combining mark is no letter
  EXPECT_EQ(split("👍🏽!"), (Words{"👍🏽!"}));
  EXPECT_EQ(split("a\x1c"
                  "b"),
            (Words{"a", "\x1c", "b"}));
}

TEST(Gpt2WordsTest, ContractionsOfLowerCaseOnly) {
  EXPECT_EQ(split("I'm you're he'll"), (Words{"I", "'m", " you", "'re", " he", "'ll"}));
  EXPECT_EQ(split("I'M"), (Words{"I", "'", "M"}));
  EXPECT_EQ(split("it'sx"), (Words{"it", "'s", "x"}));
  EXPECT_EQ(split("''s"), (Words{"''", "s"}));  // the first ' begins a run of both
  EXPECT_EQ(split(" 's"), (Words{" '", "s"}));
  EXPECT_EQ(split("'"), (Words{"'"}));
}

TEST(Gpt2WordsTest, LongRunsAreOneWord) {
  const std::string letters(100000, 'a');
  EXPECT_EQ(split(letters + "1"), (Words{letters, "1"}));
  const std::string spaces(100000, ' ');
  EXPECT_EQ(split(spaces + "a"), (Words{spaces.substr(1), " a"}));
}

TEST(UnicodeTextTest, KeepsWhatIsValid) {
  std::string all;
  for (const char32_t point : {0x0u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xD7FFu, 0xE000u, 0xFFFDu,
                               0xFFFFu, 0x10000u, 0x10FFFFu}) {
    const size_t at = all.size();
    append_utf8(point, all);
    const CodePoint read = decode_code_point(all, at);
    EXPECT_EQ(read.value, point);
    EXPECT_EQ(at + read.length, all.size());
    EXPECT_TRUE(read.is_valid);
  }
  EXPECT_EQ(replace_invalid_utf8(all), all);
  EXPECT_EQ(find_invalid_utf8(all), all.npos);
  EXPECT_EQ(find_invalid_utf8(all + "\xC3"), all.size());
}

TEST(UnicodeTextTest, TrailingSpacesAreThoseOfPython) {
  for (const char* space : {"\t", "\n", "\v", "\f", "\r", "\x1C", "\x1F", " ", "\u0085", "\u00A0",
                            "\u1680", "\u2000", "\u200A", "\u2028", "\u202F", "\u3000"}) {
    EXPECT_EQ(strip_trailing_spaces(std::string(" a") + space + space), " a");
    EXPECT_EQ(strip_trailing_spaces(space), "");
  }
  for (const char* other : {"\u200B", "\uFEFF", "\x1B", "\u180E", "\U0001F600", "\xC2", "\x80"}) {
    EXPECT_EQ(strip_trailing_spaces(other), other);
  }
  EXPECT_EQ(strip_trailing_spaces(""), "");
}

// The right-hand sides are those of Python's bytes.decode("utf-8", errors="replace").
TEST(UnicodeTextTest, ReplacesMaximalSubparts) {
  const std::string bad = "\uFFFD";
  EXPECT_EQ(replace_invalid_utf8("a\x80"
                                 "b"),
            "a" + bad + "b");
  EXPECT_EQ(replace_invalid_utf8("\xC3"), bad);
  EXPECT_EQ(replace_invalid_utf8("\xC3("), bad + "(");
  EXPECT_EQ(replace_invalid_utf8("\xE2\x82"), bad);
  EXPECT_EQ(replace_invalid_utf8("\xE2\x82x"), bad + "x");
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x98"), bad);
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF"), bad + bad);                      // overlong
  EXPECT_EQ(replace_invalid_utf8("\xE0\x80\x80"), bad + bad + bad);            // overlong
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), bad + bad + bad);            // a surrogate
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // above U+10FFFF
  EXPECT_EQ(replace_invalid_utf8("\xFF\xFE"), bad + bad);
  EXPECT_EQ(replace_invalid_utf8("\xF0\x90\xE2\x82\xAC"), bad + "\u20AC");
}

}  // namespace
}  // namespace switchyard
