// Tokenizers in tiktoken's format.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/tokenizer/regex_splitter.h"
#include "runtime/tokenizer/special_token_finder.h"
#include "runtime/tokenizer/tiktoken_definition.h"
#include "runtime/tokenizer/tiktoken_ranks.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// Special tokens in a text are recognised; what lies between is cut into words by a regular
/// expression, and the bytes of a word that is no token itself are merged by rank. What the
/// expression does not match is left out, as tiktoken does. Nothing is added to a text.
class TiktokenTokenizer final : public Tokenizer {
 public:
  /// `path` is for messages. Throws Error(kInput) for a regular expression that cannot be compiled
  /// and for a special token whose id is that of another token.
  TiktokenTokenizer(const std::string& path, TiktokenRanks ranks,
                    const TiktokenDefinition& definition);

  std::vector<int32_t> encode(std::string_view text, SpecialTokens special) const override;
  /// Throws Error(kInput) for an id without a token.
  std::string decode(std::span<const int32_t> ids, SpecialText special) const override;
  int64_t vocab_size() const override { return vocab_size_; }

 private:
  class WordEncoder;

  std::string path_;
  TiktokenRanks ranks_;
  RegexSplitter splitter_;
  SpecialTokenFinder special_tokens_;
  std::unordered_map<int32_t, std::string> special_names_;
  int64_t vocab_size_ = 0;
};

/// Throws Error(kInput) naming the file, for a vocabulary or definition that is missing or broken.
std::unique_ptr<Tokenizer> load_tiktoken_tokenizer(const TiktokenSource& source);

}  // namespace switchyard
