// fairseq's tokenizer on the small trained model's files, and dictionaries that are wrong.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/tokenizer/fairseq_dictionary.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

const std::string kModel = std::string(SWITCHYARD_TEST_DATA) + "/trained_moe_8e";
constexpr int64_t kModelRows = 2936;

std::unique_ptr<Tokenizer> load_model_tokenizer(Newlines newlines) {
  return load_fairseq_tokenizer({kModel, kModel + "/dict.txt"}, kModelRows, newlines);
}

TEST(FairseqTokenizerTest, AgreesWithTheReferenceOnEveryText) {
  const auto tokenizer = load_model_tokenizer(Newlines::kKeep);
  EXPECT_EQ(tokenizer->vocab_size(), kModelRows);
  std::ifstream file(kModel + "/tokenizer_expected.jsonl");
  int num_texts = 0;
  for (std::string line; std::getline(file, line); ++num_texts) {
    const auto expected = boost::json::parse(line).as_object();
    const auto ids = boost::json::value_to<Ids>(expected.at("dict_ids"));
    const std::string text(expected.at("text").as_string());
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::kAdd), ids) << text;
    EXPECT_EQ(tokenizer->decode(ids, SpecialText::kKeep), expected.at("decoded").as_string())
        << text;
  }
  EXPECT_EQ(num_texts, 300);
}

TEST(FairseqTokenizerTest, NewlinesKeptAreCharacters) {
  const auto tokenizer = load_model_tokenizer(Newlines::kKeep);
  const Ids newline = tokenizer->encode("\n", SpecialTokens::kAdd);
  ASSERT_EQ(newline.size(), 1u);
  EXPECT_GT(newline[0], FairseqIds::kUnk);
  EXPECT_EQ(tokenizer->decode(newline, SpecialText::kKeep), "\n");
}

TEST(FairseqTokenizerTest, EveryLineEndIsOneEos) {
  const auto tokenizer = load_model_tokenizer(Newlines::kEos);
  const Ids a = tokenizer->encode("a", SpecialTokens::kAdd);
  const Ids b = tokenizer->encode("b", SpecialTokens::kAdd);
  ASSERT_EQ(a.size(), 1u);
  for (const char* end :
       {"\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\u0085", "\u2028", "\u2029"}) {
    EXPECT_EQ(tokenizer->encode(concat("a", end, "b"), SpecialTokens::kAdd), (Ids{a[0], 2, b[0]}));
    EXPECT_EQ(tokenizer->encode(concat("a", end), SpecialTokens::kAdd), (Ids{a[0], 2}));
  }
  EXPECT_EQ(tokenizer->encode("\n\r", SpecialTokens::kAdd), (Ids{2, 2}));
  EXPECT_EQ(tokenizer->encode("\r\n\na", SpecialTokens::kAdd), (Ids{2, 2, a[0]}));
  EXPECT_EQ(tokenizer->encode("", SpecialTokens::kAdd), Ids{});
  // Neighbours of the line ends above.
  for (const char* other : {"\t", "\x1b", "\x1f", "\u0084", "\u0086", "\u2027", "\u202A"}) {
    const Ids ids = tokenizer->encode(concat("a", other, "b"), SpecialTokens::kAdd);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 0) << other;
  }
}

TEST(FairseqTokenizerTest, DecodesSpecialSymbols) {
  const auto tokenizer = load_model_tokenizer(Newlines::kKeep);
  EXPECT_EQ(tokenizer->decode(Ids{0, 2}, SpecialText::kKeep), "");
  EXPECT_EQ(tokenizer->decode(Ids{1, 3}, SpecialText::kKeep), "<pad><unk>");
  EXPECT_EQ(tokenizer->decode(Ids{0, 1, 2, 3}, SpecialText::kSkip), "<unk>");
  EXPECT_EQ(tokenizer->decode(Ids{2935}, SpecialText::kKeep), "madeupword0005");
  expect_error(ErrorKind::kInput, {"2936", "0 to 2935"},
               [&] { tokenizer->decode(Ids{2936}, SpecialText::kKeep); });
  expect_error(ErrorKind::kInput, {"-1"}, [&] { tokenizer->decode(Ids{-1}, SpecialText::kKeep); });
}

TEST(FairseqTokenizerTest, DictionaryOfAnotherVocabulary) {
  const TempFolder folder;
  const std::string dictionary = folder.write("dict.txt", "the 10\nof 5\n");
  expect_error(ErrorKind::kInput, {dictionary, "none of the ids", "--dict"}, [&] {
    load_fairseq_tokenizer({kModel, dictionary}, 6, Newlines::kKeep);
  });
}

TEST(FairseqTokenizerTest, PieceWithoutAnEntryIsUnknown) {
  const TempFolder folder;
  // BPE ids 64 and 65 are "a" and "b"; 064 is not how an id is written.
  const std::string dictionary = folder.write("dict.txt", "65 10\n064 9\n");
  const auto tokenizer = load_fairseq_tokenizer({kModel, dictionary}, 6, Newlines::kKeep);
  EXPECT_EQ(tokenizer->encode("\"b\"", SpecialTokens::kAdd), (Ids{3, 4, 3}));
  EXPECT_EQ(tokenizer->encode("a", SpecialTokens::kAdd), Ids{3});
}

class FairseqDictionaryTest : public testing::Test {
 protected:
  FairseqDictionary load(std::string_view text, int64_t rows) {
    return FairseqDictionary(folder_.write("dict.txt", text), rows);
  }
  void expect_refused(std::string_view text, std::initializer_list<std::string_view> parts) {
    expect_error(ErrorKind::kInput, parts, [&] { load(text, 10); });
  }
  TempFolder folder_;
};

TEST_F(FairseqDictionaryTest, LinesFollowTheSpecialSymbols) {
  const FairseqDictionary dictionary = load("13 100\n7 5\nhas a space 3\r\nlast -2 ", 8);
  EXPECT_EQ(dictionary.size(), 8);
  EXPECT_EQ(dictionary.id_of("<s>"), 0);
  EXPECT_EQ(dictionary.id_of("<unk>"), 3);
  EXPECT_EQ(dictionary.id_of("13"), 4);
  EXPECT_EQ(dictionary.id_of("has a space"), 6);
  EXPECT_EQ(dictionary.symbol_of(7), "last");
  EXPECT_EQ(dictionary.id_of("absent"), FairseqIds::kUnk);
}

TEST_F(FairseqDictionaryTest, DuplicatesNameBothLines) {
  expect_refused("5 1\n6 1\n5 1\n", {"dict.txt:3", "'5'", "line 1", "#fairseq:overwrite"});
  expect_refused("<unk> 1\n", {"dict.txt:1", "<unk>", "special"});
  const FairseqDictionary dictionary = load("5 1\n6 1\n5 1 #fairseq:overwrite\n", 7);
  EXPECT_EQ(dictionary.id_of("5"), 6);
  EXPECT_EQ(dictionary.symbol_of(4), "5");
}

TEST_F(FairseqDictionaryTest, MalformedLinesAreNamed) {
  expect_refused("5 1\n6\n", {"dict.txt:2", "'6'", "<symbol> <count>"});
  expect_refused("5 1\n\n6 1\n", {"dict.txt:2"});
  expect_refused("5 1.5\n", {"dict.txt:1"});
  expect_refused("5 x\n", {"dict.txt:1"});
  expect_refused(" 5\n", {"dict.txt:1"});
  expect_refused("5 #fairseq:overwrite\n", {"dict.txt:1"});
  expect_refused("5\t1\n", {"dict.txt:1"});
}

TEST_F(FairseqDictionaryTest, FitsTheModel) {
  const FairseqDictionary padded = load("5 1\nmadeupword0000 0\n", 8);
  EXPECT_EQ(padded.size(), 8);
  EXPECT_EQ(padded.symbol_of(6), "madeupword0001");
  EXPECT_EQ(padded.symbol_of(7), "madeupword0002");
  expect_error(ErrorKind::kInput, {"dict.txt", "2 lines", "6 ids", "5 embedding rows"},
               [&] { load("5 1\n6 1\n", 5); });
  EXPECT_EQ(load("5 1\n", 5 + 1023).size(), 5 + 1023);
  expect_error(ErrorKind::kInput, {"dict.txt", "5 ids", "1029 embedding rows", "cut off"},
               [&] { load("5 1\n", 5 + 1024); });
  expect_error(ErrorKind::kInput, {"absent.txt", "--dict"},
               [&] { FairseqDictionary(folder_.path("absent.txt"), 5); });
}

}  // namespace
}  // namespace switchyard
