#include "runtime/tokenizer/open_tokenizer.h"

#include <boost/json.hpp>
#include <filesystem>
#include <optional>

#include "kernels/base/error.h"
#include "runtime/tokenizer/fairseq_dictionary.h"
#include "runtime/tokenizer/find_tokenizer.h"
#include "runtime/tokenizer/gpt2_tokenizer.h"
#include "runtime/tokenizer/json/tokenizer_json.h"
#include "runtime/tokenizer/json_file.h"
#include "runtime/tokenizer/sentencepiece_tokenizer.h"
#include "runtime/tokenizer/tiktoken_tokenizer.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDictionary = "dict.txt";
constexpr const char* kModelConfig = "config.json";

/// Whether there is such a file; what cannot be told is told by whoever opens it.
bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool is_hugging_face(const std::string& model) { return is_there(fs::path(model) / kModelConfig); }

std::string directory_of(const TokenizerOptions& options, const std::string& model) {
  return options.directory.empty() ? model : options.directory;
}

/// The files as named, else as they lie in the tokenizer's folder or the model's; the dictionary
/// stays empty where there is none.
FairseqTokenizerFiles find_fairseq_files(const TokenizerOptions& options,
                                         const std::string& model) {
  FairseqTokenizerFiles files;
  files.directory = directory_of(options, model);
  files.dictionary = options.dictionary;
  for (const std::string& directory : {files.directory, model}) {
    if (!files.dictionary.empty()) break;
    const fs::path path = fs::path(directory) / kDictionary;
    if (is_there(path)) files.dictionary = path.string();
  }
  return files;
}

/// config.json's model_type; empty: there is none.
std::string read_model_type(const std::string& folder) {
  const std::string path = (fs::path(folder) / kModelConfig).string();
  if (!is_there(path)) return "";
  const boost::json::object config = read_json_object(path, "it describes a model");
  const boost::json::value* type = config.if_contains("model_type");
  return type != nullptr && type->is_string() ? boost::json::value_to<std::string>(*type) : "";
}

/// What opening a tokenizer needs to know beside its files.
struct ModelFacts {
  std::string folder;  // of the model
  std::optional<int64_t> embedding_rows;
};

std::unique_ptr<Tokenizer> load(const FoundTokenizer& found, const ModelFacts& model) {
  switch (found.format) {
    case TokenizerFormat::kJson:
      return load_tokenizer_json(found.path);
    case TokenizerFormat::kSentencePiece:
      return std::make_unique<SentencePieceTokenizer>(found.path);
    case TokenizerFormat::kTiktoken: {
      std::string type = read_model_type(fs::path(found.path).parent_path().string());
      if (type.empty()) type = read_model_type(model.folder);
      return load_tiktoken_tokenizer({found.path, type, model.embedding_rows});
    }
    case TokenizerFormat::kGpt2:
      return std::make_unique<Gpt2Tokenizer>(found.path);
  }
  fail_input(found.path, ": is no tokenizer");
}

/// Throws Error(kUsage) for options that only a fairseq dictionary gives a meaning.
void refuse_dictionary_options(const TokenizerOptions& options, const std::string& why) {
  if (!options.dictionary.empty()) {
    fail_usage("--dict names the dictionary of a fairseq model, but ", why);
  }
  if (options.newlines == Newlines::kEos) {
    fail_usage("--newlines eos needs a fairseq dictionary, whose </s> a line end becomes, but ",
               why);
  }
}

OpenedTokenizer open_hugging_face(const TokenizerOptions& options, const std::string& model,
                                  int64_t vocab_size) {
  refuse_dictionary_options(options, concat(model, " is a model of Hugging Face (config.json)"));
  const std::string directory = directory_of(options, model);
  const std::optional<FoundTokenizer> found = find_tokenizer(directory);
  if (!found) {
    const std::string help = concat("there is no tokenizer in ", directory, " (",
                                    kTokenizerFilesHelp, "); name its folder with --tokenizer");
    if (!options.directory.empty()) fail_input(help);
    return {nullptr, help};
  }
  std::unique_ptr<Tokenizer> tokenizer = load(*found, {model, vocab_size});
  if (tokenizer->vocab_size() > vocab_size) {
    fail_input(found->path, ": has ids up to ", tokenizer->vocab_size() - 1, ", but the model ",
               model, " has ", vocab_size,
               " embedding rows: it belongs to another model; name the ",
               "right one's folder with --tokenizer");
  }
  return {std::move(tokenizer), ""};
}

}  // namespace

std::vector<std::string> tokenizer_files(const TokenizerOptions& options,
                                         const std::string& model) {
  const FairseqTokenizerFiles fairseq = find_fairseq_files(options, model);
  std::vector<std::string> files = files_of({TokenizerFormat::kGpt2, fairseq.directory});
  files.push_back(fairseq.dictionary);
  if (const std::optional<FoundTokenizer> found = find_tokenizer(fairseq.directory)) {
    const std::vector<std::string> more = files_of(*found);
    files.insert(files.end(), more.begin(), more.end());
  }
  return files;
}

OpenedTokenizer open_model_tokenizer(const TokenizerOptions& options, const std::string& model,
                                     int64_t vocab_size) {
  if (is_hugging_face(model)) return open_hugging_face(options, model, vocab_size);
  const FairseqTokenizerFiles files = find_fairseq_files(options, model);
  const bool is_complete = holds_gpt2_files(files.directory) || !options.directory.empty();
  if (!files.dictionary.empty() && is_complete) {
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
  const FairseqTokenizerFiles files = find_fairseq_files(options, folder);
  std::error_code error;
  if (!fs::is_directory(files.directory, error)) {
    fail_input(files.directory, ": is not a folder; give the folder that holds the tokenizer");
  }
  const std::optional<FoundTokenizer> found = find_tokenizer(files.directory);
  const bool has_other = found && found->format != TokenizerFormat::kGpt2;
  if (!has_other && !files.dictionary.empty()) {
    return load_fairseq_tokenizer(files, std::nullopt, options.newlines);
  }
  if (!found) {
    fail_input(files.directory, ": holds no tokenizer; expected ", kTokenizerFilesHelp);
  }
  refuse_dictionary_options(options, has_other ? concat("the tokenizer is ", found->path)
                                               : concat("there is no dict.txt in ", files.directory,
                                                        "; name it with --dict"));
  return load(*found, {folder, std::nullopt});
}

}  // namespace switchyard
