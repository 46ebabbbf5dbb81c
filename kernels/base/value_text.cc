#include "kernels/base/value_text.h"

#include <cmath>

namespace switchyard {

int64_t parse_whole_number(std::string_view text, int64_t low, int64_t high) {
  const auto value = parse_number<int64_t>(text);
  if (value && *value >= low && *value <= high) return *value;
  throw BadValue(concat("a whole number from ", low, " to ", high));
}

double parse_finite(std::string_view text) {
  const auto value = parse_number<double>(text);
  if (value && std::isfinite(*value)) return *value;
  throw BadValue("a finite number, as 0.25 or -1");
}

}  // namespace switchyard
