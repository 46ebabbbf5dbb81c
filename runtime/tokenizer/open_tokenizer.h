// Finding the tokenizer that belongs to a model.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// Where the tokenizer's files are and what it does with a text.
struct TokenizerOptions {
  std::string directory;   // holds the tokenizer's files; empty: the model's
  std::string dictionary;  // dict.txt; empty: the one in `directory` or the model's
  SpecialTokens special_tokens = SpecialTokens::kAdd;  // fairseq's tokenizer adds none either way
  Newlines newlines = Newlines::kKeep;
};

/// The files that a tokenizer of these options is read from, whether they are there or not. Throws
/// Error(kInput) for a folder with several tiktoken vocabularies.
std::vector<std::string> tokenizer_files(const TokenizerOptions& options, const std::string& model);

/// A tokenizer, or why there is none.
struct OpenedTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string help;  // without a tokenizer: what is missing and what to do, for messages
};

/// The tokenizer of the model in `model`, whose embedding has `vocab_size` rows. A folder with
/// config.json is a model of Hugging Face and has any of the tokenizers that open_tokenizer_folder
/// knows but fairseq's; one whose ids the embedding lacks is an error. All others are fairseq's.
/// Without its files there is none: requests of token ids do without. Throws Error(kInput) naming
/// the file for one that is named but missing, or broken, Error(kUsage) for a dictionary or
/// Newlines::kEos with a model of Hugging Face.
OpenedTokenizer open_model_tokenizer(const TokenizerOptions& options, const std::string& model,
                                     int64_t vocab_size);

/// The tokenizer whose files lie in `folder` or in options.directory; neither need hold a model.
/// The first of these that is there:
///   - tokenizer.json;
///   - tokenizer.model, else spiece.model (SentencePiece);
///   - NAME.tiktoken or tiktoken.model;
///   - encoder.json with vocab.bpe: with dict.txt fairseq's ids, as many as the dictionary has;
///     without it GPT-2's own.
/// Throws Error(kInput) naming the file that is missing or broken, Error(kUsage) for a dictionary
/// or Newlines::kEos where there is no </s> for it.
std::unique_ptr<Tokenizer> open_tokenizer_folder(const TokenizerOptions& options,
                                                 const std::string& folder);

}  // namespace switchyard
