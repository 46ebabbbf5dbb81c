// Byte-pair merges against a plain transcription of the reference's rule.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tokenizer/gpt2_bpe.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;
using Ids = std::vector<int32_t>;

// The characters of the byte alphabet: as the two files spell the bytes.
std::vector<std::string> byte_pieces() {
  std::vector<std::string> pieces;
  int next_free = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    const int point = is_plain ? byte : next_free++;
    std::string piece;
    if (point >= 0x80) piece += static_cast<char>(0xC0 | (point >> 6));
    piece += static_cast<char>(point >= 0x80 ? 0x80 | (point & 0x3F) : point);
    pieces.push_back(piece);
  }
  return pieces;
}

// encoder.json and vocab.bpe with the bytes as ids 0 to 255 and then each new piece.
class Vocabulary {
 public:
  explicit Vocabulary(const Merges& merges) {
    for (const std::string& piece : byte_pieces()) ids_.emplace(piece, ids_.size());
    for (const auto& [left, right] : merges) ids_.emplace(left + right, ids_.size());
    std::string encoder = "{";
    for (const auto& [piece, id] : ids_) {
      encoder += encoder.size() > 1 ? ",\"" : "\"";
      if (piece == "\"" || piece == "\\") encoder += "\\";
      encoder += piece + "\":" + std::to_string(id);
    }
    std::string lines = "#version: 0.2\n";
    for (const auto& [left, right] : merges) lines += left + " " + right + "\n";
    encoder_path_ = folder_.write("encoder.json", encoder + "}");
    merges_path_ = folder_.write("vocab.bpe", lines);
  }

  Gpt2Bpe load() const { return Gpt2Bpe(encoder_path_, merges_path_); }
  int32_t id(const std::string& piece) const { return static_cast<int32_t>(ids_.at(piece)); }
  const TempFolder& folder() const { return folder_; }
  void spoil_merges(const std::string& text) const { folder_.write("vocab.bpe", text); }
  void spoil_encoder(const std::string& text) const { folder_.write("encoder.json", text); }

 private:
  TempFolder folder_;
  std::map<std::string, size_t> ids_;
  std::string encoder_path_;
  std::string merges_path_;
};

Ids encode(const Gpt2Bpe& bpe, std::string_view text) {
  Ids ids;
  bpe.encode(text, ids);
  return ids;
}

// The rule, step by step: the neighbours of the lowest rank, all their occurrences left to right.
std::vector<std::string> merge_plainly(const std::string& word, const Merges& merges) {
  std::vector<std::string> parts;
  for (const char letter : word) parts.emplace_back(1, letter);
  while (true) {
    const auto holds = [&](const auto& merge) {
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        if (parts[i] == merge.first && parts[i + 1] == merge.second) return true;
      }
      return false;
    };
    const auto best = std::find_if(merges.begin(), merges.end(), holds);
    if (best == merges.end()) return parts;
    std::vector<std::string> merged;
    for (size_t i = 0; i < parts.size(); ++i) {
      const bool joins =
          i + 1 < parts.size() && parts[i] == best->first && parts[i + 1] == best->second;
      merged.push_back(joins ? parts[i] + parts[i + 1] : parts[i]);
      if (joins) ++i;
    }
    parts = std::move(merged);
  }
}

TEST(Gpt2BpeTest, MergesLowestRankFirst) {
  const Vocabulary vocabulary({{"b", "c"}, {"a", "b"}, {"a", "bc"}});
  const Gpt2Bpe bpe = vocabulary.load();
  EXPECT_EQ(encode(bpe, "abc"), Ids{vocabulary.id("abc")});
  EXPECT_EQ(encode(bpe, "abab"), (Ids{vocabulary.id("ab"), vocabulary.id("ab")}));
  EXPECT_EQ(encode(bpe, "abb"), (Ids{vocabulary.id("ab"), 'b'}));
}

TEST(Gpt2BpeTest, RunsAreJoinedFromTheLeft) {
  const Vocabulary vocabulary({{"a", "a"}, {"aa", "a"}});
  EXPECT_EQ(encode(vocabulary.load(), "aaa"), Ids{vocabulary.id("aaa")});
  EXPECT_EQ(encode(vocabulary.load(), "aaaaa"), (Ids{vocabulary.id("aa"), vocabulary.id("aaa")}));
}

// All occurrences of a pair are joined before a pair of lower rank that arises from them: "abab"
// gives ab ab and then abab, never ab + a first, though "ab a" stands before "a b".
TEST(Gpt2BpeTest, OnePassJoinsAllOccurrences) {
  const Merges merges = {{"ab", "a"}, {"a", "b"}, {"ab", "ab"}};
  const Vocabulary vocabulary(merges);
  EXPECT_EQ(encode(vocabulary.load(), "abab"), Ids{vocabulary.id("abab")});
}

TEST(Gpt2BpeTest, RandomMergesAgreeWithThePlainRule) {
  std::mt19937 random(7);
  const auto draw = [&random](size_t below) { return random() % below; };
  for (int round = 0; round < 40; ++round) {
    std::vector<std::string> pieces = {"a", "b", "c"};
    Merges merges;
    for (int i = 0; i < 30; ++i) {
      std::pair pair(pieces[draw(pieces.size())], pieces[draw(pieces.size())]);
      if (pair.first.size() + pair.second.size() > 6) continue;
      if (std::find(merges.begin(), merges.end(), pair) != merges.end()) continue;
      pieces.push_back(pair.first + pair.second);
      merges.push_back(pair);
    }
    // Out of the order in which they were learnt, as no real file is, but as the rule allows.
    std::shuffle(merges.begin(), merges.end(), random);
    const Vocabulary vocabulary(merges);
    const Gpt2Bpe bpe = vocabulary.load();
    for (int word_number = 0; word_number < 50; ++word_number) {
      std::string word;
      for (size_t length = 1 + draw(40); word.size() < length;) word += "abc"[draw(3)];
      Ids expected;
      for (const auto& part : merge_plainly(word, merges)) expected.push_back(vocabulary.id(part));
      ASSERT_EQ(encode(bpe, word), expected) << word;
    }
  }
}

TEST(Gpt2BpeTest, BytesAreTheFallback) {
  const Vocabulary vocabulary(Merges{{"Ġ", "a"}});
  const Gpt2Bpe bpe = vocabulary.load();
  EXPECT_EQ(encode(bpe, " a"), Ids{vocabulary.id("Ġa")});
  EXPECT_EQ(*bpe.find_bytes(vocabulary.id("Ġa")), " a");
  EXPECT_EQ(encode(bpe, "é\n"), (Ids{0xC3, 0xA9, '\n'}));
  EXPECT_EQ(encode(bpe, std::string_view("\0\xAD", 2)), (Ids{0, 0xEF, 0xBF, 0xBD}));
  EXPECT_EQ(*bpe.find_bytes(0xAD), "\xAD");
  EXPECT_EQ(bpe.find_bytes(257), nullptr);
  EXPECT_EQ(bpe.find_bytes(-1), nullptr);
}

TEST(Gpt2BpeTest, AppendsAndRepeatsWords) {
  const Vocabulary vocabulary({{"a", "b"}, {"Ġ", "ab"}});
  const Gpt2Bpe bpe = vocabulary.load();
  Ids ids = {5};
  bpe.encode("ab ab ab", ids);
  const int32_t spaced = vocabulary.id("Ġab");
  EXPECT_EQ(ids, (Ids{5, vocabulary.id("ab"), spaced, spaced}));
}

TEST(Gpt2BpeTest, LongUnbrokenRuns) {
  const Vocabulary vocabulary({{"a", "a"}, {"aa", "aa"}});
  EXPECT_EQ(encode(vocabulary.load(), std::string(200000, 'a')), Ids(50000, vocabulary.id("aaaa")));
}

TEST(Gpt2BpeTest, WrongFilesAreNamed) {
  const Vocabulary vocabulary(Merges{{"a", "b"}});
  const auto load = [&] { vocabulary.load(); };
  const auto spoil_merges = [&](const char* text) { vocabulary.spoil_merges(text); };
  spoil_merges("#version\na b\nab\n");
  expect_error(ErrorKind::kInput, {"vocab.bpe:3", "one space", "'ab'"}, load);
  spoil_merges("#version\na b c\n");
  expect_error(ErrorKind::kInput, {"vocab.bpe:2"}, load);
  spoil_merges("#version\na b\nb c\n");
  expect_error(ErrorKind::kInput, {"vocab.bpe:3", "lacks the piece 'bc'"}, load);
  spoil_merges("#version\na b\na b\n");
  expect_error(ErrorKind::kInput, {"vocab.bpe:3", "line 2"}, load);
  spoil_merges("");
  expect_error(ErrorKind::kInput, {"vocab.bpe", "empty"}, load);
  spoil_merges("#version\r\na b\r\n");
  EXPECT_EQ(encode(vocabulary.load(), "ab"), Ids{vocabulary.id("ab")});
  vocabulary.spoil_encoder("{\"a\": 1,");
  expect_error(ErrorKind::kInput, {"encoder.json", "not valid JSON"}, load);
  vocabulary.spoil_encoder("[1]");
  expect_error(ErrorKind::kInput, {"encoder.json", "object"}, load);
  vocabulary.spoil_encoder("{\"a\": -1}");
  expect_error(ErrorKind::kInput, {"encoder.json", "'a'", "-1"}, load);
  vocabulary.spoil_encoder("{\"a\": 1, \"b\": 1}");
  expect_error(ErrorKind::kInput, {"encoder.json", "two pieces", "id 1"}, load);
  vocabulary.spoil_encoder("{\"a\": 1}");
  expect_error(ErrorKind::kInput, {"encoder.json", "lacks the single-byte piece"}, load);
}

TEST(Gpt2BpeTest, MissingFilesAreNamed) {
  const TempFolder folder;
  const std::string path = folder.path("encoder.json");
  expect_error(ErrorKind::kInput, {path, "No such file", "--tokenizer"},
               [&] { Gpt2Bpe(path, folder.path("vocab.bpe")); });
  std::filesystem::create_directory(path);
  expect_error(ErrorKind::kInput, {path, "directory"},
               [&] { Gpt2Bpe(path, folder.path("vocab.bpe")); });
}

}  // namespace
}  // namespace switchyard
