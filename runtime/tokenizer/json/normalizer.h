// What happens to a text before it is cut into words.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/tokenizer/json/json_node.h"

namespace switchyard {

/// A text, valid UTF-8, on its way through normalizers.
struct NormalizedText {
  std::string text;
  /// How many bytes of it come from the first character that the user gave; 0 if that is dropped or
  /// stands elsewhere.
  size_t first_bytes = 0;
};

/// Maps text to text in about linear time. Immutable and thread-safe.
class Normalizer {
 public:
  Normalizer() = default;
  Normalizer(const Normalizer&) = delete;
  Normalizer& operator=(const Normalizer&) = delete;
  virtual ~Normalizer() = default;

  virtual void apply(NormalizedText& text) const = 0;
};

/// The normalizer that an entry of tokenizer.json describes: NFC, NFD, NFKC, NFKD, Lowercase,
/// Strip, StripAccents, Nmt, Precompiled, Replace, Prepend, ByteLevel or a Sequence of them. Throws
/// Error(kInput) naming the entry for another or a malformed one.
std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node);

}  // namespace switchyard
