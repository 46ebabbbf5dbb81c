#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

// What a first byte announces: how many bytes follow and the range of the first of them, which is
// narrower than 80..BF where overlong forms, surrogates or values above U+10FFFF would begin.
struct LeadByte {
  int num_following = -1;  // -1: no character begins with this byte
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
};

LeadByte read_lead_byte(unsigned char byte) {
  if (byte < 0x80) return {0};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {1};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte < 0xF0) return {2};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte < 0xF4) return {3};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {};
}

// str.isspace: white space by category or by direction, hence U+001C to U+001F too.
bool is_python_space(char32_t value) {
  if (value >= 0x2000 && value <= 0x200A) return true;
  for (const char32_t space : {0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}) {
    if (value == space) return true;
  }
  return (value >= 0x9 && value <= 0xD) || (value >= 0x1C && value <= 0x1F);
}

}  // namespace

CodePoint decode_code_point(std::string_view text, size_t at) {
  const unsigned char first = static_cast<unsigned char>(text[at]);
  LeadByte lead = read_lead_byte(first);
  if (lead.num_following == 0) return {first, 1, true};
  if (lead.num_following < 0) return {kReplacementCharacter, 1, false};
  char32_t value = first & (0x3Fu >> lead.num_following);
  for (int i = 1; i <= lead.num_following; ++i) {
    if (at + i >= text.size()) return {kReplacementCharacter, i, false};
    const unsigned char byte = static_cast<unsigned char>(text[at + i]);
    if (byte < lead.low || byte > lead.high) return {kReplacementCharacter, i, false};
    value = (value << 6) | (byte & 0x3Fu);
    lead.low = 0x80;
    lead.high = 0xBF;
  }
  return {value, lead.num_following + 1, true};
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_code_point(text, at);
    if (point.is_valid) {
      result += text.substr(at, point.length);
    } else {
      append_utf8(kReplacementCharacter, result);
    }
    at += point.length;
  }
  return result;
}

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_code_point(text, at);
    if (!point.is_valid) return at;
    at += point.length;
  }
  return text.npos;
}

std::string_view strip_trailing_spaces(std::string_view text) {
  while (!text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && text.size() - at < 3 &&
           (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) {
      --at;
    }
    const CodePoint last = decode_code_point(text, at);
    if (!last.is_valid || !is_python_space(last.value)) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

void append_utf8(char32_t value, std::string& text) {
  const auto following = [value](int shift) {
    return static_cast<char>(0x80u | ((value >> shift) & 0x3Fu));
  };
  if (value < 0x80) {
    text += static_cast<char>(value);
  } else if (value < 0x800) {
    text += static_cast<char>(0xC0u | (value >> 6));
    text += following(0);
  } else if (value < 0x10000) {
    text += static_cast<char>(0xE0u | (value >> 12));
    text += following(6);
    text += following(0);
  } else {
    text += static_cast<char>(0xF0u | (value >> 18));
    text += following(12);
    text += following(6);
    text += following(0);
  }
}

}  // namespace switchyard
