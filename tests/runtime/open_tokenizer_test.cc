// Which tokenizer a folder and a model get.
#include "runtime/tokenizer/open_tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/tokenizer/find_tokenizer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"
#include "tests/runtime/tokenizer_case.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

const std::string kFairseq = std::string(SWITCHYARD_TEST_DATA) + "/trained_moe_8e";
const std::string kSentencePiece = tokenizer_case("spm_bpe");
const std::string kTiktoken = tokenizer_case("tiktoken_kimi");

/// A model's folder, which holds a copy of some files.
class ModelFolder : public TempFolder {
 public:
  explicit ModelFolder(const std::string& config = R"({"model_type": "mixtral"})") {
    if (!config.empty()) write("config.json", config);
  }
  const ModelFolder& add(const std::string& folder,
                         std::initializer_list<const char*> names) const {
    for (const char* name : names) fs::copy_file(fs::path(folder) / name, path(name));
    return *this;
  }
  std::string name() const { return path(""); }
};

TEST(FindTokenizer, LooksInADocumentedOrder) {
  const TempFolder folder;
  const auto format = [&] { return find_tokenizer(folder.path(""))->format; };
  EXPECT_FALSE(find_tokenizer(folder.path("")));
  EXPECT_FALSE(find_tokenizer(folder.path("absent")));
  folder.write("encoder.json", "");
  EXPECT_FALSE(find_tokenizer(folder.path("")));
  folder.write("vocab.bpe", "");
  EXPECT_EQ(format(), TokenizerFormat::kGpt2);
  folder.write("a.tiktoken", "");
  EXPECT_EQ(format(), TokenizerFormat::kTiktoken);
  const std::string second = folder.write("tiktoken.model", "");
  expect_error(ErrorKind::kInput, {"two tiktoken vocabularies", "a.tiktoken", "tiktoken.model"},
               [&] { format(); });
  fs::remove(second);
  folder.write("spiece.model", "");
  EXPECT_EQ(fs::path(find_tokenizer(folder.path(""))->path).lexically_normal(),
            fs::path(folder.path("spiece.model")).lexically_normal());
  folder.write("tokenizer.model", "");
  EXPECT_EQ(fs::path(find_tokenizer(folder.path(""))->path).lexically_normal(),
            fs::path(folder.path("tokenizer.model")).lexically_normal());
  EXPECT_EQ(format(), TokenizerFormat::kSentencePiece);
  folder.write("tokenizer.json", "");
  EXPECT_EQ(format(), TokenizerFormat::kJson);
}

TEST(OpenTokenizer, AFolderAloneIsEnough) {
  expect_reference(kSentencePiece, *open_tokenizer_folder({}, kSentencePiece), 231);
  TokenizerOptions elsewhere;
  elsewhere.directory = kTiktoken;
  expect_reference(kTiktoken, *open_tokenizer_folder(elsewhere, "/nonexistent"), 247);
}

TEST(OpenTokenizer, AModelOfHuggingFaceTakesWhatItsEmbeddingHolds) {
  const ModelFolder model;
  model.add(kSentencePiece, {"tokenizer.model", "tokenizer_config.json"});
  EXPECT_EQ(open_model_tokenizer({}, model.name(), 900).tokenizer->vocab_size(), 900);
  EXPECT_TRUE(open_model_tokenizer({}, model.name(), 1024).tokenizer);
  expect_error(ErrorKind::kInput,
               {"tokenizer.model", "ids up to 899", "899 embedding rows", "--tokenizer"},
               [&] { open_model_tokenizer({}, model.name(), 899); });
  TokenizerOptions other;
  other.directory = kTiktoken;
  EXPECT_EQ(open_model_tokenizer(other, model.name(), 1000).tokenizer->vocab_size(), 904);
}

TEST(OpenTokenizer, AModelWithoutATokenizerSaysWhatIsMissing) {
  const ModelFolder model;
  const OpenedTokenizer opened = open_model_tokenizer({}, model.name(), 900);
  EXPECT_FALSE(opened.tokenizer);
  EXPECT_NE(opened.help.find("no tokenizer in"), std::string::npos);
  EXPECT_NE(opened.help.find("--tokenizer"), std::string::npos);
  TokenizerOptions named;
  named.directory = model.name();
  expect_error(ErrorKind::kInput, {"no tokenizer in", "tokenizer.json"},
               [&] { open_model_tokenizer(named, model.name(), 900); });
}

TEST(OpenTokenizer, AModelsTypeChoosesTheTiktokenPattern) {
  const ModelFolder model(R"({"model_type": "kimi_k2"})");
  model.add(kTiktoken, {"tiktoken.model"});
  EXPECT_EQ(open_model_tokenizer({}, model.name(), 1000).tokenizer->vocab_size(), 1000);
  // The vocabulary may lie in a folder of its own.
  const ModelFolder vocabulary("");
  vocabulary.add(kTiktoken, {"tiktoken.model"});
  TokenizerOptions options;
  options.directory = vocabulary.name();
  EXPECT_EQ(open_model_tokenizer(options, model.name(), 2000).tokenizer->vocab_size(), 1156);
  EXPECT_EQ(open_tokenizer_folder(options, model.name())->vocab_size(), 1156);
  expect_error(ErrorKind::kInput, {"tiktoken.model", "tiktoken_config.json"},
               [&] { open_tokenizer_folder({}, vocabulary.name()); });
}

TEST(OpenTokenizer, DictionaryOptionsBelongToFairseq) {
  const ModelFolder model;
  model.add(kSentencePiece, {"tokenizer.model"});
  TokenizerOptions dictionary;
  dictionary.dictionary = kFairseq + "/dict.txt";
  TokenizerOptions newlines;
  newlines.newlines = Newlines::kEos;
  expect_error(ErrorKind::kUsage, {"--dict", "config.json"},
               [&] { open_model_tokenizer(dictionary, model.name(), 900); });
  expect_error(ErrorKind::kUsage, {"--newlines eos", "config.json"},
               [&] { open_model_tokenizer(newlines, model.name(), 900); });
  expect_error(ErrorKind::kUsage, {"--dict", "tokenizer.model"},
               [&] { open_tokenizer_folder(dictionary, kSentencePiece); });
  expect_error(ErrorKind::kUsage, {"--newlines eos", "tokenizer.model"},
               [&] { open_tokenizer_folder(newlines, kSentencePiece); });
}

TEST(OpenTokenizer, AFairseqModelKeepsToItsDictionary) {
  const ModelFolder model("");
  model.add(kFairseq, {"encoder.json", "vocab.bpe", "dict.txt"});
  model.write("tokenizer.json", "{}");
  EXPECT_EQ(open_model_tokenizer({}, model.name(), 2936).tokenizer->vocab_size(), 2936);
}

TEST(OpenTokenizer, AllFilesAreListed) {
  const auto lists = [](const std::string& folder, const char* name) {
    const std::vector<std::string> files = tokenizer_files({}, folder);
    const std::string path = (fs::path(folder) / name).string();
    return std::find(files.begin(), files.end(), path) != files.end();
  };
  for (const char* name : {"tokenizer.model", "tokenizer_config.json", "added_tokens.json"}) {
    EXPECT_TRUE(lists(kSentencePiece, name)) << name;
  }
  for (const char* name : {"tiktoken.model", "tiktoken_config.json", "tokenizer_config.json"}) {
    EXPECT_TRUE(lists(kTiktoken, name)) << name;
  }
  for (const char* name : {"encoder.json", "vocab.bpe", "dict.txt"}) {
    EXPECT_TRUE(lists(kFairseq, name)) << name;
  }
}

}  // namespace
}  // namespace switchyard
