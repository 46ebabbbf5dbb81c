// SentencePiece's compiled rules of normalisation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// The rules of a `precompiled_charsmap`: a 32-bit length, a trie of so many bytes (a double array
/// of 32-bit units, as the Darts-clone library lays it out), and the replacements, each ended by a
/// NUL, to which the trie's values point. All little-endian. Immutable and thread-safe.
class Charsmap {
 public:
  /// `blob` is what the file holds after base64. Throws Error(kInput) naming `place`.
  Charsmap(std::string_view blob, std::string place);

  /// What replaces a text of which a rule matches a beginning: the shortest one counts. Nothing if
  /// no rule does.
  std::optional<std::string_view> find(std::string_view text) const;

 private:
  uint32_t unit(size_t position) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
  std::string place_;
};

}  // namespace switchyard
