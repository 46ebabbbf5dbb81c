// What happens to a text before it is cut into words.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/tokenizer/json/json_node.h"

namespace switchyard {

/// Maps text to text, both valid UTF-8, in about linear time. Immutable and thread-safe.
class Normalizer {
 public:
  Normalizer() = default;
  Normalizer(const Normalizer&) = delete;
  Normalizer& operator=(const Normalizer&) = delete;
  virtual ~Normalizer() = default;

  virtual std::string apply(std::string_view text) const = 0;
};

/// The normalizer that an entry of tokenizer.json describes: NFC, NFD, NFKC, NFKD, Lowercase,
/// Strip, StripAccents, Nmt, Precompiled, Replace, Prepend, ByteLevel or a Sequence of them. Throws
/// Error(kInput) naming the entry for another or a malformed one.
std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node);

}  // namespace switchyard
