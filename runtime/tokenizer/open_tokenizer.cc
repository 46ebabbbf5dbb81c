#include "runtime/tokenizer/open_tokenizer.h"

#include <filesystem>

#include "kernels/base/error.h"
#include "runtime/tokenizer/fairseq_dictionary.h"
#include "runtime/tokenizer/gpt2_tokenizer.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPieces = "encoder.json";
constexpr const char* kMerges = "vocab.bpe";
constexpr const char* kDictionary = "dict.txt";

/// Whether there is such a file; what cannot be told is told by whoever opens it.
bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// The files as named, else as they lie in the tokenizer's folder or the model's; the dictionary
/// stays empty where there is none.
FairseqTokenizerFiles find_files(const TokenizerOptions& options, const std::string& model) {
  FairseqTokenizerFiles files;
  files.directory = options.directory.empty() ? model : options.directory;
  files.dictionary = options.dictionary;
  for (const std::string& directory : {files.directory, model}) {
    if (!files.dictionary.empty()) break;
    const fs::path path = fs::path(directory) / kDictionary;
    if (is_there(path)) files.dictionary = path.string();
  }
  return files;
}

bool has_pieces(const std::string& directory) {
  return is_there(fs::path(directory) / kPieces) && is_there(fs::path(directory) / kMerges);
}

/// Throws Error(kInput) if the folder holds a tokenizer of a kind that is not built in.
void refuse_other_kinds(const std::string& directory) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model", "tiktoken.model"}) {
    const fs::path path = fs::path(directory) / name;
    if (is_there(path)) {
      fail_input(path.string(), ": tokenizers of this kind are not supported by this version; ",
                 "expected encoder.json with vocab.bpe, and dict.txt for a fairseq model");
    }
  }
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() != ".tiktoken") continue;
    fail_input(entry->path().string(), ": tokenizers of this kind are not supported by this ",
               "version; expected encoder.json with vocab.bpe");
  }
}

}  // namespace

std::vector<std::string> tokenizer_files(const TokenizerOptions& options,
                                         const std::string& model) {
  const FairseqTokenizerFiles files = find_files(options, model);
  const fs::path directory = files.directory;
  return {(directory / kPieces).string(), (directory / kMerges).string(), files.dictionary};
}

OpenedTokenizer open_model_tokenizer(const TokenizerOptions& options, const std::string& model,
                                     int64_t vocab_size) {
  const FairseqTokenizerFiles files = find_files(options, model);
  if (!files.dictionary.empty() && (has_pieces(files.directory) || !options.directory.empty())) {
    return {load_fairseq_tokenizer(files, vocab_size, options.newlines), ""};
  }
  if (files.dictionary.empty()) {
    const std::string help = concat("there is no dict.txt in ", model, "; name it with --dict");
    if (!options.directory.empty()) fail_input(help);
    return {nullptr, help};
  }
  // Requests of ids do without the pieces, but a broken dictionary is told all the same.
  [[maybe_unused]] const FairseqDictionary checked(files.dictionary, vocab_size);
  return {nullptr, concat("there is no encoder.json with vocab.bpe in ", files.directory,
                          "; name their folder with --tokenizer")};
}

std::unique_ptr<Tokenizer> open_tokenizer_folder(const TokenizerOptions& options,
                                                 const std::string& folder) {
  const FairseqTokenizerFiles files = find_files(options, folder);
  std::error_code error;
  if (!fs::is_directory(files.directory, error)) {
    fail_input(files.directory, ": is not a folder; give the folder that holds the tokenizer");
  }
  if (!files.dictionary.empty()) {
    return load_fairseq_tokenizer(files, std::nullopt, options.newlines);
  }
  refuse_other_kinds(files.directory);
  if (!has_pieces(files.directory)) {
    fail_input(files.directory, ": holds no tokenizer; expected encoder.json with vocab.bpe, and ",
               "dict.txt for a fairseq model");
  }
  if (options.newlines == Newlines::kEos) {
    fail_usage("--newlines eos needs a dictionary, whose </s> a line end becomes, and there is no ",
               "dict.txt in ", files.directory, "; name it with --dict");
  }
  return std::make_unique<Gpt2Tokenizer>(files.directory);
}

}  // namespace switchyard
