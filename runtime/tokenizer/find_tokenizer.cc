#include "runtime/tokenizer/find_tokenizer.h"

#include <algorithm>
#include <filesystem>

#include "kernels/base/error.h"
#include "runtime/tokenizer/tiktoken_definition.h"
#include "runtime/tokenizer/tokenizer_config.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// Whether there is such a file; what cannot be told is told by whoever opens it.
bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// The tiktoken vocabulary of a folder; empty: there is none.
std::string find_tiktoken(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const fs::path name = entry->path().filename();
    if (name.extension() == ".tiktoken" || name == "tiktoken.model") names.push_back(name.string());
  }
  if (names.empty()) return "";
  std::sort(names.begin(), names.end());
  if (names.size() > 1) {
    fail_input(folder, ": holds two tiktoken vocabularies, ", names[0], " and ", names[1],
               "; leave one there");
  }
  return (fs::path(folder) / names.front()).string();
}

}  // namespace

const char kTokenizerFilesHelp[] =
    "tokenizer.json, tokenizer.model, spiece.model, a tiktoken vocabulary, or encoder.json with "
    "vocab.bpe (and dict.txt for a fairseq model)";

bool holds_gpt2_files(const std::string& folder) {
  const fs::path directory = folder;
  return is_there(directory / "encoder.json") && is_there(directory / "vocab.bpe");
}

std::optional<FoundTokenizer> find_tokenizer(const std::string& folder) {
  const fs::path directory = folder;
  const fs::path json = directory / "tokenizer.json";
  if (is_there(json)) return FoundTokenizer{TokenizerFormat::kJson, json.string()};
  for (const char* name : {"tokenizer.model", "spiece.model"}) {
    const fs::path path = directory / name;
    if (is_there(path)) return FoundTokenizer{TokenizerFormat::kSentencePiece, path.string()};
  }
  const std::string tiktoken = find_tiktoken(folder);
  if (!tiktoken.empty()) return FoundTokenizer{TokenizerFormat::kTiktoken, tiktoken};
  if (holds_gpt2_files(folder)) return FoundTokenizer{TokenizerFormat::kGpt2, folder};
  return std::nullopt;
}

std::vector<std::string> files_of(const FoundTokenizer& tokenizer) {
  const fs::path path = tokenizer.path;
  const std::string folder = path.parent_path().string();
  std::vector<std::string> files;
  switch (tokenizer.format) {
    case TokenizerFormat::kJson:
      break;
    case TokenizerFormat::kSentencePiece:
      files = tokenizer_config_files(folder);
      break;
    case TokenizerFormat::kTiktoken:
      files = tiktoken_definition_files(folder);
      break;
    case TokenizerFormat::kGpt2:
      return {(path / "encoder.json").string(), (path / "vocab.bpe").string()};
  }
  files.push_back(tokenizer.path);
  return files;
}

}  // namespace switchyard
