#include "runtime/generated_text.h"

#include <gtest/gtest.h>

#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

/// Every byte is a token, 256 stands for nothing, ids from 300 on are unknown.
class LooseBytes : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, SpecialTokens) const override {
    std::vector<int32_t> ids;
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
    return ids;
  }
  std::string decode(std::span<const int32_t> ids, SpecialText) const override {
    std::string bytes;
    for (const int32_t id : ids) {
      EXPECT_LT(id, vocab_size());
      if (id < 256) bytes += static_cast<char>(id);
    }
    decoded_ids += static_cast<int64_t>(ids.size());
    return replace_invalid_utf8(bytes);
  }
  int64_t vocab_size() const override { return 300; }

  mutable int64_t decoded_ids = 0;
};

const LooseBytes kBytes;

std::vector<int32_t> ids_of(std::string_view text) { return kBytes.encode(text, {}); }

/// What is shown after each token, joined by "|".
std::string shown(const std::vector<int32_t>& ids, const std::vector<std::string>& stops) {
  TextFollower follower(kBytes, stops);
  std::string pieces;
  for (size_t i = 1; i <= ids.size(); ++i) {
    const bool has_stop = follower.follow(std::span(ids).first(i));
    pieces += follower.take_settled() + "|";
    if (has_stop) return pieces + "stop";
  }
  return pieces;
}

TEST(GeneratedText, UnknownIdsAreLeftOut) {
  EXPECT_EQ(generated_text(kBytes, std::vector<int32_t>{104, 305, 105, 256, 299}), "hi");
  EXPECT_EQ(generated_text(kBytes, {}), "");
}

TEST(TextFollower, CharactersAreShownWhole) {
  EXPECT_EQ(shown(ids_of("a\xC3\xA9z"), {}), "a||\xC3\xA9|z|");
  EXPECT_EQ(shown(ids_of("\xF0\x9F\x98\x80"), {}), "|||\xF0\x9F\x98\x80|");
  // A lone byte is told from the beginning of a character by what follows.
  EXPECT_EQ(shown(ids_of("\xC3z"), {}), "|\xEF\xBF\xBDz|");
}

TEST(TextFollower, WrongBytesAreNotHeldBackForever) {
  const std::string text = shown(ids_of(std::string(40, '\x80')), {});
  EXPECT_GT(text.find('\x80'), 40u);
  EXPECT_GE(text.size(), 40u + 3 * 32);
}

TEST(TextFollower, WhatMayBecomeAStopStringIsHeldBack) {
  EXPECT_EQ(shown(ids_of("xabcy"), {"abcd"}), "x||||abcy|");
  EXPECT_EQ(shown(ids_of("xabcd!"), {"abcd"}), "x|||||stop");
  EXPECT_EQ(shown(ids_of("aabcd"), {"aabx", "abcd"}), "|||a||stop");
  EXPECT_EQ(shown(ids_of("ababac"), {"abac"}), "|||ab|||stop");
}

TEST(TextFollower, TheFirstOfSeveralStopStringsCounts) {
  const std::vector<std::string> stops = {"cd", "bcd", "q"};
  const std::vector<int32_t> ids = ids_of("abcdq");
  TextFollower follower(kBytes, stops);
  EXPECT_FALSE(follower.follow(std::span(ids).first(3)));
  // Several tokens at once, as one token of several characters.
  EXPECT_TRUE(follower.follow(ids));
  EXPECT_TRUE(follower.has_stop());
  EXPECT_EQ(follower.before_stop(), "a");
}

TEST(TextFollower, CostsLittlePerToken) {
  const std::vector<std::string> stops;
  for (const int32_t id : {97, 256, 128}) {
    const std::vector<int32_t> ids(2000, id);
    TextFollower follower(kBytes, stops);
    kBytes.decoded_ids = 0;
    for (size_t i = 1; i <= ids.size(); ++i) follower.follow(std::span(ids).first(i));
    EXPECT_LT(kBytes.decoded_ids, 2000 * 140) << id;
  }
}

}  // namespace
}  // namespace switchyard
