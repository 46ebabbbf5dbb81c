// A tokenizer whose ids can be read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// Every byte is a token.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, SpecialTokens) const override {
    return {text.begin(), text.end()};
  }
  std::string decode(std::span<const int32_t> ids, SpecialText) const override {
    return {ids.begin(), ids.end()};
  }
  int64_t vocab_size() const override { return 128; }
};

}  // namespace switchyard
