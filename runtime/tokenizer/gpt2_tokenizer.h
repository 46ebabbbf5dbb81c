// GPT-2's own tokenizer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/gpt2_bpe.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// The ids of encoder.json. "<|endoftext|>" in a text is the token of that name, if there is one;
/// nothing is added to a text.
class Gpt2Tokenizer final : public Tokenizer {
 public:
  /// Reads encoder.json and vocab.bpe of a folder. Throws Error(kInput) naming file and line.
  explicit Gpt2Tokenizer(const std::string& directory);

  std::vector<int32_t> encode(std::string_view text, SpecialTokens special) const override;
  /// Throws Error(kInput) for an id that encoder.json lacks.
  std::string decode(std::span<const int32_t> ids, SpecialText special) const override;
  int64_t vocab_size() const override { return bpe_.vocab_size(); }

 private:
  Gpt2Bpe bpe_;
  int32_t end_of_text_;  // -1: there is none
};

}  // namespace switchyard
