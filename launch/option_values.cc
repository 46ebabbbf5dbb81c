#include "launch/option_values.h"

#include <cmath>

#include "kernels/base/byte_size.h"

namespace switchyard {

uint64_t parse_seed(std::string_view text) {
  const auto value = parse_number<uint64_t>(text);
  if (value) return *value;
  throw BadValue("a whole number from 0 to 2^64 - 1");
}

double parse_seconds(std::string_view text) {
  const auto value = parse_number<double>(text);
  if (value && std::isfinite(*value) && *value >= 0) return *value;
  throw BadValue("a number of seconds, 0 or more");
}

int64_t parse_bytes(std::string_view text, int64_t low) {
  const auto value = parse_byte_size(text);
  if (value && *value >= low) return *value;
  throw BadValue(concat("a size of at least ", format_byte_size(low),
                        ", in bytes or with a unit, as 65536, 64KiB, 64MiB or 1GiB"));
}

std::string parse_path(const std::string& text, std::string_view expected) {
  if (text.empty()) throw BadValue(std::string(expected));
  return text;
}

}  // namespace switchyard
