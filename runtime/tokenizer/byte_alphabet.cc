#include "runtime/tokenizer/byte_alphabet.h"

#include <array>
#include <unordered_map>

#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

std::array<char32_t, 256> list_characters() {
  std::array<char32_t, 256> alphabet{};
  char32_t next_free = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    alphabet[byte] = is_printable ? byte : next_free++;
  }
  return alphabet;
}

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  static const auto characters = [] {
    std::array<std::string, 256> texts;
    const auto alphabet = list_characters();
    for (int byte = 0; byte < 256; ++byte) append_utf8(alphabet[byte], texts[byte]);
    return texts;
  }();
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) text += characters[static_cast<unsigned char>(byte)];
  return text;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  static const auto byte_of = [] {
    std::unordered_map<char32_t, char> map;
    const auto alphabet = list_characters();
    for (int byte = 0; byte < 256; ++byte) map[alphabet[byte]] = static_cast<char>(byte);
    return map;
  }();
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_code_point(text, at);
    const auto found = byte_of.find(point.value);
    if (found == byte_of.end()) return std::nullopt;
    bytes += found->second;
    at += point.length;
  }
  return bytes;
}

}  // namespace switchyard
