// How a text is cut into words before each of them is encoded.
#pragma once

#include <memory>

#include "runtime/tokenizer/json/json_node.h"
#include "runtime/tokenizer/json/words.h"

namespace switchyard {

/// Cuts words further and may change their text. Immutable and thread-safe.
class PreTokenizer {
 public:
  PreTokenizer() = default;
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;
  virtual ~PreTokenizer() = default;

  virtual void apply(Words& words) const = 0;
};

/// The pre-tokenizer that an entry of tokenizer.json describes: ByteLevel, Metaspace, Split,
/// Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit, BertPreTokenizer or a
/// Sequence of them. Throws Error(kInput) naming the entry for another or a malformed one.
std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const JsonNode& node);

}  // namespace switchyard
