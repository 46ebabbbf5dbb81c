// What must hold of a SentencePiece model before the library may use it.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

/// Follows every rule of the normalisers in the bytes of a model, because the library follows them
/// without looking where they lead. `path` is for messages. Throws Error(kInput) for a trie that
/// points outside itself or its replacements, and for what is no message of protocol buffers at
/// all; everything else the library checks itself.
///
/// Fields are those of sentencepiece_model.proto: normalizer_spec 3, denormalizer_spec 5, in them
/// precompiled_charsmap 2. A charsmap is the 32-bit size of a double array of 32-bit units (as
/// Darts-clone makes it), the array, and the replacements; all little-endian.
void check_sentencepiece_rules(std::string_view model, const std::string& path);

}  // namespace switchyard
