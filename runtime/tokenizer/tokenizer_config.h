// What lies beside a vocabulary and says which tokens are special.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace switchyard {

/// A token that stands beside the vocabulary's own.
struct AddedToken {
  enum class Kind {
    kSpecial,  ///< a control token such as </s>
    kWord,     ///< a piece of text
  };
  int32_t id = 0;
  std::string content;
  Kind kind = Kind::kWord;
};

/// What tokenizer_config.json says, as far as a vocabulary alone leaves it open (transformers,
/// tokenization_utils_base.py).
struct TokenizerConfig {
  std::string path;  // for messages, also where there is no such file
  std::string tokenizer_class;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  std::optional<bool> legacy;
  std::string bos_token;  // its text; empty: not said
  std::string eos_token;
  /// Of added_tokens_decoder and added_tokens.json, by ascending id, each id once. Special are
  /// those called so, and those that serve as bos_token, pad_token and so on.
  std::vector<AddedToken> added_tokens;
};

/// The files that read_tokenizer_config may read from a folder.
std::vector<std::string> tokenizer_config_files(const std::string& folder);

/// Reads tokenizer_config.json and added_tokens.json of a folder; what is not there is left open.
/// Throws Error(kInput) naming the file and the entry that is malformed.
TokenizerConfig read_tokenizer_config(const std::string& folder);

}  // namespace switchyard
