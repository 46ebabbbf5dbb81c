// tiktoken vocabularies.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/base64.h"
#include "runtime/tokenizer/pair_merger.h"
#include "runtime/tokenizer/special_token_finder.h"
#include "runtime/tokenizer/text_file.h"
#include "runtime/tokenizer/tiktoken_tokenizer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"
#include "tests/runtime/tokenizer_case.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

const std::string kKimi = tokenizer_case("tiktoken_kimi");

/// The vocabulary of the case in a folder of its own.
class TiktokenFolder : public TempFolder {
 public:
  TiktokenFolder() : ranks_(read_text_file(kKimi + "/tiktoken.model", "")) {
    write("tiktoken.model", ranks_);
  }

  const std::string& ranks() const { return ranks_; }
  std::unique_ptr<Tokenizer> load(const std::string& model_type = "",
                                  std::optional<int64_t> embedding_rows = std::nullopt) const {
    return load_tiktoken_tokenizer({path("tiktoken.model"), model_type, embedding_rows});
  }

 private:
  std::string ranks_;
};

TEST(TiktokenTokenizer, AgreesWithTheReference) {
  const auto tokenizer = load_tiktoken_tokenizer({kKimi + "/tiktoken.model", "", std::nullopt});
  expect_reference(kKimi, *tokenizer, 247);
  EXPECT_EQ(tokenizer->vocab_size(), 904);
}

TEST(TiktokenTokenizer, KimiBringsItsOwnPatternAndTokens) {
  const TiktokenFolder folder;
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "TikTokenTokenizer",
      "added_tokens_decoder": {"900": {"content": "[BOS]", "special": true},
      "901": {"content": "[EOS]"}, "902": {"content": "<|im_end|>"},
      "903": {"content": "<|im_user|>"}, "5": {"content": "outside"}}})");
  for (const char* model_type : {"kimi_k2", ""}) {
    const auto tokenizer = folder.load(model_type);
    expect_reference(kKimi, *tokenizer, 247);
    EXPECT_EQ(tokenizer->vocab_size(), 900 + 256);
    EXPECT_EQ(tokenizer->encode("<|reserved_token_1000|>", SpecialTokens::kNone), Ids{1000});
  }
  // A smaller embedding leaves out what it has no row for.
  EXPECT_EQ(folder.load("kimi_k2", 950)->vocab_size(), 950);
  EXPECT_EQ(folder.load("kimi_k2", 800)->vocab_size(), 900);
}

TEST(TiktokenTokenizer, GptOssBringsItsOwnPatternAndTokens) {
  const TiktokenFolder folder;
  const auto tokenizer = folder.load("gpt_oss");
  EXPECT_EQ(tokenizer->vocab_size(), 201088);
  const Ids ids = tokenizer->encode(
      "<|start|>a<|reserved_200018|><|endofprompt|><|reserved_201087|>", SpecialTokens::kAdd);
  const int32_t a = tokenizer->encode("a", SpecialTokens::kNone).at(0);
  EXPECT_EQ(ids, (Ids{200006, a, 200018, 200018, 201087}));
  EXPECT_EQ(tokenizer->decode(ids, SpecialText::kKeep),
            "<|start|>a<|endofprompt|><|endofprompt|><|reserved_201087|>");
  EXPECT_EQ(tokenizer->decode(ids, SpecialText::kSkip), "a");
  // A slash belongs to the punctuation before it, which Kimi's pattern leaves apart.
  const Ids slash = tokenizer->encode("!\n/", SpecialTokens::kNone);
  EXPECT_EQ(tokenizer->decode(slash, SpecialText::kKeep), "!\n/");
}

TEST(TiktokenTokenizer, UnknownFamiliesNeedADefinition) {
  const TiktokenFolder folder;
  expect_error(ErrorKind::kInput, {"tiktoken.model", "tiktoken_config.json", "pat_str"},
               [&] { folder.load(); });
  expect_error(ErrorKind::kInput, {"model_type llama"}, [&] { folder.load("llama"); });
  const auto refuses = [&](std::initializer_list<std::string_view> parts, const char* config) {
    folder.write("tiktoken_config.json", config);
    expect_error(ErrorKind::kInput, parts, [&] { folder.load(); });
  };
  refuses({"tiktoken_config.json", "not valid JSON"}, "{");
  refuses({"\"pat_str\" must be a string"}, R"({"special_tokens": {}})");
  refuses({"\"special_tokens\" must be an object"}, R"({"pat_str": "a", "special_tokens": []})");
  refuses({"special token is empty"}, R"({"pat_str": "a", "special_tokens": {"": 900}})");
  refuses({"the id of 'x'"}, R"({"pat_str": "a", "special_tokens": {"x": 1.5}})");
  refuses({"tiktoken_config.json: pat_str", "cannot be compiled"},
          R"({"pat_str": "(", "special_tokens": {}})");
  refuses({"special token 'x'", "id 5", "is that of the token"},
          R"({"pat_str": "a", "special_tokens": {"x": 5}})");
}

TEST(TiktokenTokenizer, WhatThePatternDoesNotMatchIsLeftOut) {
  const TiktokenFolder folder;
  folder.write("tiktoken_config.json", R"j({"pat_str": "[ac]|(?=x)", "special_tokens": {}})j");
  const auto tokenizer = folder.load();
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("abcx", SpecialTokens::kAdd), SpecialText::kKeep),
            "ac");
}

TEST(TiktokenTokenizer, DecodesBytesAndRefusesOtherIds) {
  const auto tokenizer = load_tiktoken_tokenizer({kKimi + "/tiktoken.model", "", std::nullopt});
  const Ids bytes = tokenizer->encode("\u2603", SpecialTokens::kNone);
  ASSERT_GT(bytes.size(), 1u);
  EXPECT_EQ(tokenizer->decode(bytes, SpecialText::kKeep), "\u2603");
  EXPECT_EQ(tokenizer->decode(Ids{bytes[0]}, SpecialText::kKeep), "\uFFFD");
  EXPECT_EQ(tokenizer->encode("\xFF", SpecialTokens::kNone),
            tokenizer->encode("\uFFFD", SpecialTokens::kNone));
  for (const int32_t id : {-1, 904}) {
    expect_error(ErrorKind::kInput, {concat("id ", id), "no such rank"},
                 [&] { tokenizer->decode(Ids{id}, SpecialText::kKeep); });
  }
}

TEST(TiktokenTokenizer, LongWordsTakeLinearTime) {
  const auto tokenizer = load_tiktoken_tokenizer({kKimi + "/tiktoken.model", "", std::nullopt});
  for (const char* unit : {"a", " ", "\u65E5", "!", "ab"}) {
    std::string text;
    while (text.size() < 200'000) text += unit;
    const Ids ids = tokenizer->encode(text, SpecialTokens::kAdd);
    EXPECT_EQ(tokenizer->decode(ids, SpecialText::kKeep), text);
  }
}

TEST(TiktokenTokenizer, BrokenVocabulariesAreRefusedByLine) {
  const TiktokenFolder folder;
  const auto refuses = [&](std::initializer_list<std::string_view> parts, const std::string& text) {
    folder.write("tiktoken.model", text);
    expect_error(ErrorKind::kInput, parts, [&] { folder.load("kimi_k2"); });
  };
  const std::string& good = folder.ranks();
  refuses({"tiktoken.model", "lacks a token for the byte 0"}, "");
  refuses({"lacks a token for the byte"}, good.substr(good.find('\n') + 1));
  for (const char* line : {"YQ==", "YQ== x", "YQ== -1", "YQ== 2147483648", "YQ= 5", "Y!== 5", " 5",
                           "YQ== 5 5", "YQ==\t5"}) {
    refuses({"tiktoken.model:1", "base64", printable(line)}, std::string(line) + "\n" + good);
  }
  refuses({":901: the rank 5 stands there twice"}, good + "YWJjYWJj 5\n");
  refuses({":901: the token 'a' stands there twice"}, good + "YQ== 3000\n");
}

TEST(SpecialTokenFinder, TakesTheLeftmostAndLongest) {
  const SpecialTokenFinder finder({{1, "<a>"}, {2, "<a><b>"}, {3, "[x]"}, {4, "<a>"}});
  const std::string text = "a<a<a><b>[x]<a>";
  const auto first = finder.find(text, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->begin, 3u);
  EXPECT_EQ(first->end, 9u);
  EXPECT_EQ(first->id, 2);
  EXPECT_EQ(finder.find(text, 4)->id, 3);
  EXPECT_EQ(finder.find(text, 12)->id, 1);
  EXPECT_FALSE(finder.find(text, 13));
  EXPECT_FALSE(finder.find("", 0));
  EXPECT_FALSE(SpecialTokenFinder({}).find(text, 0));
}

TEST(PairMerger, MergesAsTheDefinitionSays) {
  std::mt19937 random(7);
  PairMerger merger;
  const auto merged = [](int32_t left, int32_t right) { return (left * 31 + right * 17) % 41; };
  const auto find = [&](int32_t left, int32_t right) -> std::optional<PairMerge> {
    const int32_t symbol = merged(left, right);
    if (symbol > 30) return std::nullopt;
    return PairMerge{symbol / 3, symbol};
  };
  for (int round = 0; round < 300; ++round) {
    Ids symbols(random() % 20);
    for (int32_t& symbol : symbols) symbol = static_cast<int32_t>(random() % 6);
    Ids expected = symbols;
    while (true) {
      size_t best = expected.size();
      for (size_t i = 0; i + 1 < expected.size(); ++i) {
        const int32_t symbol = merged(expected[i], expected[i + 1]);
        if (symbol > 30) continue;
        if (best == expected.size() ||
            symbol / 3 < merged(expected[best], expected[best + 1]) / 3) {
          best = i;
        }
      }
      if (best == expected.size()) break;
      expected[best] = merged(expected[best], expected[best + 1]);
      expected.erase(expected.begin() + static_cast<ptrdiff_t>(best) + 1);
    }
    merger.merge(symbols, find);
    ASSERT_EQ(symbols, expected);
  }
}

TEST(Base64, DecodesWholeGroupsOnly) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("YQ=="), "a");
  EXPECT_EQ(decode_base64("YWI="), "ab");
  EXPECT_EQ(decode_base64("YWJj"), "abc");
  EXPECT_EQ(decode_base64("/+8A"), std::string("\xFF\xEF\0", 3));
  for (const char* wrong : {"Y", "YQ", "YQ=", "YR==", "Y===", "====", "YQ==YQ==", "Y Q=", "YQ-_"}) {
    EXPECT_FALSE(decode_base64(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace switchyard
