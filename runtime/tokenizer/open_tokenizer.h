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
  std::string directory;   // holds encoder.json and vocab.bpe; empty: the model's
  std::string dictionary;  // dict.txt; empty: the one in `directory` or the model's
  SpecialTokens special_tokens = SpecialTokens::kAdd;  // fairseq's tokenizer adds none either way
  Newlines newlines = Newlines::kKeep;
};

/// The files that a tokenizer of these options is read from, whether they are there or not; empty
/// for a dictionary that is not there.
std::vector<std::string> tokenizer_files(const TokenizerOptions& options, const std::string& model);

/// A tokenizer, or why there is none.
struct OpenedTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string help;  // without a tokenizer: what is missing and what to do, for messages
};

/// The tokenizer of the fairseq model in `model`, whose embedding has `vocab_size` rows. Without
/// its files there is none: requests of token ids do without. Throws Error(kInput) naming the file
/// for one that is named but missing, or broken.
OpenedTokenizer open_model_tokenizer(const TokenizerOptions& options, const std::string& model,
                                     int64_t vocab_size);

/// The tokenizer whose files lie in `folder`, which need not hold a model: encoder.json with
/// vocab.bpe and dict.txt give fairseq's ids, as many as the dictionary has; without dict.txt
/// GPT-2's own. Throws Error(kInput) naming the file that is missing, broken or of a kind that is
/// not supported, Error(kUsage) for Newlines::kEos where there is no </s>.
std::unique_ptr<Tokenizer> open_tokenizer_folder(const TokenizerOptions& options,
                                                 const std::string& folder);

}  // namespace switchyard
