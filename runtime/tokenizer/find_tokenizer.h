// Which tokenizer a folder holds.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace switchyard {

/// Formats in which tokenizers come, in the order in which they are looked for.
enum class TokenizerFormat {
  kJson,           ///< tokenizer.json
  kSentencePiece,  ///< tokenizer.model, spiece.model
  kTiktoken,       ///< NAME.tiktoken, tiktoken.model
  kGpt2,           ///< encoder.json with vocab.bpe
};

/// A tokenizer in a folder.
struct FoundTokenizer {
  TokenizerFormat format = TokenizerFormat::kGpt2;
  std::string path;  // its file; of kGpt2 the folder
};

/// What open_tokenizer.h looks for, in words for messages.
extern const char kTokenizerFilesHelp[];

/// Whether the folder holds encoder.json and vocab.bpe.
bool holds_gpt2_files(const std::string& folder);

/// The first tokenizer by format and name, none if the folder holds none. Throws Error(kInput) for
/// several tiktoken vocabularies in one folder.
std::optional<FoundTokenizer> find_tokenizer(const std::string& folder);

/// The files that a tokenizer is read from, those that describe it further and need not be there
/// included.
std::vector<std::string> files_of(const FoundTokenizer& tokenizer);

}  // namespace switchyard
