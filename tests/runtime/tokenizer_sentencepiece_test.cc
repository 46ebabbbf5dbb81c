// SentencePiece models and what stands beside them.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/tokenizer/sentencepiece_check.h"
#include "runtime/tokenizer/sentencepiece_tokenizer.h"
#include "runtime/tokenizer/text_file.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"
#include "tests/runtime/tokenizer_case.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

const std::string kBpe = tokenizer_case("spm_bpe") + "/tokenizer.model";
const std::string kUnigram = tokenizer_case("spm_unigram") + "/spiece.model";

/// A model in a folder of its own, with or without a tokenizer_config.json.
class SentencePieceFolder : public TempFolder {
 public:
  explicit SentencePieceFolder(const std::string& model = kBpe)
      : model_(path(std::filesystem::path(model).filename().string())) {
    std::filesystem::copy_file(model, model_);
  }

  const std::string& model() const { return model_; }
  SentencePieceTokenizer load(const std::string& config) const {
    write("tokenizer_config.json", config);
    return SentencePieceTokenizer(model_);
  }

 private:
  std::string model_;
};

TEST(SentencePieceTokenizer, AgreesWithTheReference) {
  expect_reference(tokenizer_case("spm_bpe"), SentencePieceTokenizer(kBpe), 231);
  expect_reference(tokenizer_case("spm_unigram"), SentencePieceTokenizer(kUnigram), 113);
}

TEST(SentencePieceTokenizer, AddsWhatTheConfigurationSays) {
  const SentencePieceFolder folder;
  const Ids plain = SentencePieceTokenizer(kBpe).encode("a", SpecialTokens::kNone);
  ASSERT_EQ(plain.size(), 1u);
  const int32_t a = plain[0];
  const auto encode = [&](const std::string& config) {
    return folder.load(config).encode("a", SpecialTokens::kAdd);
  };
  EXPECT_EQ(SentencePieceTokenizer(folder.model()).encode("a", SpecialTokens::kAdd), (Ids{1, a}));
  EXPECT_EQ(encode("{}"), (Ids{1, a}));
  EXPECT_EQ(encode(R"({"add_bos_token": null})"), (Ids{1, a}));
  EXPECT_EQ(encode(R"({"add_bos_token": false})"), Ids{a});
  EXPECT_EQ(encode(R"({"add_eos_token": true})"), (Ids{1, a, 2}));
  EXPECT_EQ(encode(R"({"tokenizer_class": "LlamaTokenizerFast"})"), (Ids{1, a}));
  EXPECT_EQ(encode(R"({"tokenizer_class": "T5Tokenizer"})"), (Ids{a, 2}));
  EXPECT_EQ(encode(R"({"tokenizer_class": "T5Tokenizer", "eos_token": {"content": "<s>"}})"),
            (Ids{a, 1}));
  EXPECT_EQ(encode(R"({"bos_token": "a"})").size(), 2u);  // any piece will do
  EXPECT_EQ(encode(R"({"tokenizer_class": "Own", "add_bos_token": false, "add_eos_token": true})"),
            (Ids{a, 2}));
  expect_error(ErrorKind::kInput, {"tokenizer_config.json", "'Own'", "\"add_bos_token\""},
               [&] { encode(R"({"tokenizer_class": "Own", "add_bos_token": false})"); });
  expect_error(ErrorKind::kInput, {"tokenizer.model", "no such token", "<begin>"},
               [&] { encode(R"({"bos_token": "<begin>"})"); });
  expect_error(ErrorKind::kInput, {"add_prefix_space"},
               [&] { encode(R"({"add_prefix_space": false, "legacy": false})"); });
}

TEST(SentencePieceTokenizer, SpiecesEndWithEosAndMayLackBos) {
  const SentencePieceFolder folder(kUnigram);
  const Ids ids = SentencePieceTokenizer(folder.model()).encode("a", SpecialTokens::kAdd);
  ASSERT_FALSE(ids.empty());
  EXPECT_EQ(ids.back(), 1);
  expect_error(ErrorKind::kInput, {"enclosed with bos", "spiece.model", "\"add_bos_token\""},
               [&] { folder.load(R"({"add_bos_token": true})"); });
}

TEST(SentencePieceTokenizer, ControlTokensAreTextOfTheirOwn) {
  const SentencePieceTokenizer tokenizer(kBpe);
  // In a text they are characters like any other.
  const Ids spelled = tokenizer.encode("<s>a</s>", SpecialTokens::kNone);
  EXPECT_EQ(std::count(spelled.begin(), spelled.end(), 1), 0);
  EXPECT_EQ(tokenizer.decode(spelled, SpecialText::kSkip), "<s>a</s>");
  const int32_t a = tokenizer.encode("a", SpecialTokens::kNone)[0];
  EXPECT_EQ(tokenizer.decode(Ids{1, a, 2, 1, a}, SpecialText::kKeep), "<s>a</s><s>a");
  EXPECT_EQ(tokenizer.decode(Ids{1, a, 2, 1, a}, SpecialText::kSkip), "aa");
  expect_error(ErrorKind::kInput, {"id 900", "no such piece"},
               [&] { tokenizer.decode(Ids{900}, SpecialText::kKeep); });
  expect_error(ErrorKind::kInput, {"id -1"},
               [&] { tokenizer.decode(Ids{-1}, SpecialText::kKeep); });
}

TEST(SentencePieceTokenizer, InvalidUtf8IsReplaced) {
  const SentencePieceTokenizer tokenizer(kBpe);
  EXPECT_EQ(tokenizer.encode("a\xFF z", SpecialTokens::kAdd),
            tokenizer.encode("a\uFFFD z", SpecialTokens::kAdd));
  // A byte alone, as byte_fallback spells characters without a piece.
  const Ids bytes = tokenizer.encode("\U0001F9FF", SpecialTokens::kNone);
  EXPECT_EQ(tokenizer.decode(Ids{bytes[bytes.size() - 2]}, SpecialText::kKeep), "\uFFFD");
}

TEST(SentencePieceTokenizer, SpecialTokensMayBeAdded) {
  const SentencePieceFolder folder;
  EXPECT_EQ(SentencePieceTokenizer(folder.model()).vocab_size(), 900);
  folder.write("added_tokens.json", R"({"<pad>": 901})");
  const SentencePieceTokenizer tokenizer =
      folder.load(R"({"pad_token": {"content": "<pad>"}, "added_tokens_decoder": {
                      "1": {"content": "<s>", "special": true},
                      "900": {"content": "<|end|>", "special": true}},
                      "eos_token": "<|end|>", "add_eos_token": true})");
  EXPECT_EQ(tokenizer.vocab_size(), 902);
  EXPECT_EQ(tokenizer.encode("", SpecialTokens::kAdd), (Ids{1, 900}));
  EXPECT_EQ(tokenizer.decode(Ids{900, 901}, SpecialText::kKeep), "<|end|><pad>");
  EXPECT_EQ(tokenizer.decode(Ids{900, 901}, SpecialText::kSkip), "");
  const auto refuses = [&](std::initializer_list<std::string_view> parts,
                           const std::string& config) {
    expect_error(ErrorKind::kInput, parts, [&] { folder.load(config); });
  };
  refuses({"'<pad>' (901)", "not special", "tokenizer.json"}, "{}");
  std::filesystem::remove(folder.path("added_tokens.json"));
  refuses({"'word'", "not special"}, R"({"added_tokens_decoder": {"900": {"content": "word"}}})");
  refuses({"'x' has the id 1", "'<s>'"}, R"({"added_tokens_decoder": {"1": {"content": "x"}}})");
}

TEST(SentencePieceTokenizer, BrokenConfigurationsAreRefusedByName) {
  const SentencePieceFolder folder;
  const auto refuses = [&](std::string_view what, const std::string& config) {
    expect_error(ErrorKind::kInput, {"tokenizer_config.json", what}, [&] { folder.load(config); });
  };
  refuses("not valid JSON", "{");
  refuses("expected one JSON object", "[]");
  refuses("\"add_bos_token\" must be true or false", R"({"add_bos_token": 1})");
  refuses("\"eos_token\" must be a string", R"({"eos_token": 3})");
  refuses("\"added_tokens_decoder\" must be an object", R"({"added_tokens_decoder": []})");
  refuses("has the key 'x'", R"({"added_tokens_decoder": {"x": {"content": "a"}}})");
  refuses("is empty", R"({"added_tokens_decoder": {"900": {"content": ""}}})");
  folder.write("added_tokens.json", R"({"<pad>": -1})");
  expect_error(ErrorKind::kInput, {"added_tokens.json", "the id of '<pad>'"},
               [&] { folder.load("{}"); });
}

TEST(SentencePieceTokenizer, BrokenModelsAreErrors) {
  const TempFolder folder;
  const auto refuses = [&](const std::string& bytes) {
    const std::string path = folder.write("tokenizer.model", bytes);
    expect_error(ErrorKind::kInput, {"tokenizer.model"}, [&] { SentencePieceTokenizer{path}; });
  };
  refuses("");
  refuses("{}");
  refuses("version https://git-lfs.github.com/spec/v1\n");
  const std::string bytes = read_text_file(kUnigram, "");
  for (size_t size = 1; size < bytes.size(); size += 97) refuses(bytes.substr(0, size));
  expect_error(ErrorKind::kInput, {"absent.model", "cannot open"},
               [&] { SentencePieceTokenizer(folder.path("absent.model")); });
}

// Whatever bytes stand there, the result is a tokenizer or an error; a crash would end the test.
TEST(SentencePieceTokenizer, ChangedBytesDoNoHarm) {
  const TempFolder folder;
  const std::string bytes = read_text_file(kUnigram, "");
  int num_refused = 0;
  for (size_t at = 0; at < bytes.size(); at += 29) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    try {
      const SentencePieceTokenizer tokenizer(folder.write("spiece.model", changed));
      tokenizer.encode("\uFF21 \uFB01le caf\u0065\u0301 \u2460", SpecialTokens::kAdd);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput) << error.what();
      ++num_refused;
    }
  }
  EXPECT_GT(num_refused, 20);
}

/// A model that holds rules alone: a normalizer_spec with a charsmap of these units and bytes.
std::string make_rules(const std::vector<uint32_t>& units, const std::string& replacements,
                       uint32_t trie_bytes) {
  std::string charsmap;
  const auto put = [&charsmap](uint32_t value) {
    for (int i = 0; i < 4; ++i) charsmap += static_cast<char>((value >> (8 * i)) & 0xFF);
  };
  const auto field = [](int number, const std::string& bytes) {
    std::string text(1, static_cast<char>(number << 3 | 2));
    text += static_cast<char>((bytes.size() & 0x7F) | 0x80);
    text += static_cast<char>(bytes.size() >> 7);
    return text + bytes;
  };
  put(trie_bytes);
  for (const uint32_t unit : units) put(unit);
  return field(3, field(2, charsmap + replacements));
}

TEST(SentencePieceCheck, RulesMustStayInside) {
  constexpr uint32_t kBytes = 4 * 256;
  std::vector<uint32_t> units(256, 0);
  const auto refuses = [&](std::string_view what, const std::string& model) {
    expect_error(ErrorKind::kInput, {"m.model", what},
                 [&] { check_sentencepiece_rules(model, "m.model"); });
  };
  // 'a' leads to base 'a' ^ 1 with a value there.
  units['a'] = 1u << 10 | 1u << 8 | 'a';
  units['a' ^ 1] = 0x80000001;
  EXPECT_NO_THROW(check_sentencepiece_rules(make_rules(units, {"x\0", 2}, kBytes), "m.model"));
  EXPECT_NO_THROW(check_sentencepiece_rules("", "m.model"));
  units['a' ^ 1] = 0x80000002;
  refuses("beyond the 2 bytes", make_rules(units, {"x\0", 2}, kBytes));
  units['a'] = 256u << 10 | 'a';
  refuses("beyond its 256 units", make_rules(units, {"x\0", 2}, kBytes));
  units['a'] = 0;
  units[0] = 1u << 10 | 1u << 9;  // an offset of 256
  refuses("beyond its 256 units", make_rules(units, {"x\0", 2}, kBytes));
  refuses("multiple of 4", make_rules(units, "", kBytes));
  refuses("multiple of 4", make_rules(units, "xxxxx", kBytes + 1));
  refuses("multiple of 4", make_rules(units, "x", 0));
  refuses("no SentencePiece model", "\x1A\x7F");
  refuses("no SentencePiece model", std::string(12, '\xFF'));
  refuses("no SentencePiece model", "\x0B");
}

}  // namespace
}  // namespace switchyard
