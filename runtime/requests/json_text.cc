#include "runtime/requests/json_text.h"

#include <charconv>
#include <cmath>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

// The longest shortest text of an fp64 has 24 characters, as -2.2250738585072014e-308.
constexpr int kMaxNumberLength = 32;

template <typename Number>
void append_number(Number value, std::string& out) {
  SWITCHYARD_CHECK(std::isfinite(value), "a result holds the number ", value);
  char text[kMaxNumberLength];
  const auto [end, error] = std::to_chars(text, text + kMaxNumberLength, value);
  SWITCHYARD_CHECK(error == std::errc());
  const std::string_view number(text, end - text);
  out += number;
  if (number.find_first_of(".e") == number.npos) out += ".0";
}

// The letter after the backslash, 0 when there is no short form.
char short_escape(char character) {
  switch (character) {
    case '"':
    case '\\':
      return character;
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

}  // namespace

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char character : text) {
    const char escape = short_escape(character);
    const unsigned char byte = static_cast<unsigned char>(character);
    if (escape != 0) {
      out += '\\';
      out += escape;
    } else if (byte < 0x20) {
      constexpr char kDigits[] = "0123456789abcdef";
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += character;
    }
  }
  out += '"';
}

void append_json_number(float value, std::string& out) { append_number(value, out); }
void append_json_number(double value, std::string& out) { append_number(value, out); }

}  // namespace switchyard
