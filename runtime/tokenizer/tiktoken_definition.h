// What a tiktoken vocabulary leaves open: how words are cut and which tokens are special.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/tokenizer/tokenizer_config.h"

namespace switchyard {

/// A tiktoken file and what is known of the model it belongs to.
struct TiktokenSource {
  std::string path;                       // *.tiktoken or tiktoken.model
  std::string model_type;                 // config.json's; empty: unknown
  std::optional<int64_t> embedding_rows;  // of the model, if there is one
};

/// How a tiktoken vocabulary is used.
struct TiktokenDefinition {
  std::string pattern;  // regular expression whose matches are the words
  std::string place;    // where it stands, for messages
  std::vector<AddedToken> special_tokens;
};

/// The files that find_tiktoken_definition may read from a folder.
std::vector<std::string> tiktoken_definition_files(const std::string& folder);

/// Reads tiktoken_config.json beside the vocabulary: "pat_str", and "special_tokens" {name: id}.
/// Where there is none, these families bring their own:
///   - Kimi-K2 (model_type kimi_k2, or the tokenizer_class TikTokenTokenizer;
///   tokenization_kimi.py):
///     the 256 ids after the `num_ranks` of the vocabulary are special; tokenizer_config.json's
///     added_tokens_decoder names them, the others are called <|reserved_token_ID|>. Ids for which
///     the model has no embedding are left out.
///   - gpt-oss (model_type gpt_oss; tiktoken, o200k_harmony).
/// Throws Error(kInput) naming the file and what is expected there.
TiktokenDefinition find_tiktoken_definition(const TiktokenSource& source, int64_t num_ranks);

}  // namespace switchyard
