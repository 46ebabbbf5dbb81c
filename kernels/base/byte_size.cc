#include "kernels/base/byte_size.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <limits>
#include <system_error>

namespace switchyard {
namespace {

constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};

}  // namespace

std::optional<int64_t> parse_byte_size(std::string_view text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || value < 0) return std::nullopt;
  std::string_view unit(rest, static_cast<size_t>(end - rest));
  if (unit.empty()) return value;
  if (unit.front() == ' ') unit.remove_prefix(1);
  for (size_t i = 0; i < kUnits.size(); ++i) {
    if (unit != kUnits[i]) continue;
    const int shift = 10 * static_cast<int>(i);
    if (value > (std::numeric_limits<int64_t>::max() >> shift)) return std::nullopt;
    return value << shift;
  }
  return std::nullopt;
}

std::string format_byte_size(int64_t bytes) {
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  // 1023.95 is where one decimal would print as "1024.0" of the smaller unit.
  while (unit + 1 < kUnits.size() && value >= (unit == 0 ? 1024.0 : 1023.95)) {
    value /= 1024.0;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s", unit == 0 ? 0 : 1, value, kUnits[unit].data());
  return text;
}

}  // namespace switchyard
