// SentencePiece's compiled rules.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/tokenizer/base64.h"
#include "runtime/tokenizer/json/charsmap.h"
#include "runtime/tokenizer/json/unicode_forms.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

using Rules = std::map<std::string, std::string>;

// Lays a trie out as a double array: the children of each node have a block of 256 units, the first
// of which is the node's value.
class CharsmapWriter {
 public:
  explicit CharsmapWriter(const Rules& rules) {
    set_offset(0, new_block());
    for (const auto& [text, replacement] : rules) add(text, replacement);
  }

  std::string blob() const {
    std::string bytes;
    append(static_cast<uint32_t>(units_.size() * 4), bytes);
    for (const uint32_t unit : units_) append(unit, bytes);
    return bytes + replacements_;
  }

 private:
  static void append(uint32_t value, std::string& bytes) {
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xFF);
  }

  size_t new_block() {
    units_.resize(units_.size() + 256);
    return units_.size() - 256;
  }

  void set_offset(size_t unit, size_t block) {
    units_[unit] |= static_cast<uint32_t>(unit ^ block) << 10;
    block_of_[unit] = block;
  }

  void add(const std::string& text, const std::string& replacement) {
    size_t node = 0;
    for (const char character : text) {
      const unsigned char byte = static_cast<unsigned char>(character);
      const size_t child = block_of_.at(node) ^ byte;
      if (!block_of_.contains(child)) {
        units_[child] = byte;
        set_offset(child, new_block());
      }
      node = child;
    }
    units_[node] |= 1u << 8;
    units_[block_of_.at(node)] = 0x80000000u | static_cast<uint32_t>(replacements_.size());
    replacements_ += replacement + '\0';
  }

  std::vector<uint32_t> units_;
  std::map<size_t, size_t> block_of_;
  std::string replacements_;
};

TEST(Charsmap, TheShortestRuleReplacesAWholeCluster) {
  const Charsmap rules(
      CharsmapWriter(
          Rules{{"a", "x"}, {"e\u0301", "é"}, {"\t", " "}, {"\u200B", ""}, {"\u0300", "`"}})
          .blob(),
      "f: rules");
  EXPECT_EQ(rules.find("a"), "x");
  EXPECT_EQ(rules.find("e"), std::nullopt);
  EXPECT_EQ(rules.find("b"), std::nullopt);
  EXPECT_EQ(apply_charsmap(rules, "abe\u0301\t\u200B"), "xbé ");
  // A rule for the beginning of what is one character to the user takes all of it, unless that is
  // longer than 5 bytes.
  EXPECT_EQ(apply_charsmap(rules, "a\u0300b"), "xb");
  EXPECT_EQ(apply_charsmap(rules, "a\u0300\u0300\u0300b"), "x```b");
  EXPECT_EQ(apply_charsmap(rules, ""), "");
}

TEST(Charsmap, MalformedRulesAreErrors) {
  const std::string good = CharsmapWriter(Rules{{"a", "x"}}).blob();
  const auto refused = [](const std::string& blob, std::string_view why) {
    expect_error(ErrorKind::kInput, {"f: rules", why},
                 [&] { apply_charsmap(Charsmap(blob, "f: rules"), "aa"); });
  };
  refused("", "found 0 bytes");
  refused(std::string(4, '\0'), "0 bytes");
  refused(std::string("\x07\0\0\0abcdefg", 11), "7 bytes");
  refused(good.substr(0, good.size() / 2), "is said to have");
  refused(good.substr(0, good.size() - 1), "where none is");  // without the last NUL
  refused(good.substr(0, good.size() - 2), "where none is");  // no replacements
  refused(good + "\xFF", "not UTF-8");
  refused(std::string("\x04\0\0\0\xFF\xFF\xFF\x7F", 8), "points to unit");
}

TEST(Base64, DecodesWhatIsPadded) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("YQ=="), "a");
  EXPECT_EQ(decode_base64("YWI="), "ab");
  EXPECT_EQ(decode_base64("YWJj/+8="), "abc\xFF\xEF");
  for (const char* bad : {"Y", "YQ", "YQ=", "Y===", "YR==", "Y Q=", "YQ==YQ==", "===="}) {
    EXPECT_EQ(decode_base64(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace switchyard
