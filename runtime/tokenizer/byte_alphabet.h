// The characters that stand for bytes in vocabularies of byte-level tokenizers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace switchyard {

/// The character of each byte, byte after byte: the byte itself where it is a printable character
/// of Latin-1, else the next free one from U+0100 on (GPT-2's encoder.json; a space is U+0120).
std::string to_byte_alphabet(std::string_view bytes);

/// The bytes that the characters stand for; nothing if one of them stands for no byte, as in a
/// special token with a space. `text` is valid UTF-8.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace switchyard
