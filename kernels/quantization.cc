#include "kernels/quantization.h"

#include <array>

#include "kernels/base/value_text.h"

namespace switchyard {
namespace {

// Larger ones are errors of writing: no matrix has longer rows.
constexpr int64_t kLargestGroup = int64_t{1} << 20;

// Scales and offsets take 0.375 bits of a weight of 8, 0.75 of 4, 0.25 of 3 and 1 of 2.
constexpr std::array<GroupQuantization, 4> kDefaults = {{{8, 128}, {4, 64}, {3, 64}, {2, 16}}};

[[noreturn]] void refuse() {
  throw BadValue(
      "int8, int4, int3 or int2, or with inputs in groups of another size, a multiple "
      "of 8, as int4:g32");
}

}  // namespace

GroupQuantization default_quantization(int bits) {
  for (const GroupQuantization& each : kDefaults) {
    if (each.bits == bits) return each;
  }
  SWITCHYARD_CHECK(false, "codes of ", bits, " bits");
  return {};
}

GroupQuantization parse_quantization(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view type = text.substr(0, colon);
  GroupQuantization found;
  for (const GroupQuantization& each : kDefaults) {
    if (type == concat("int", each.bits)) found = each;
  }
  if (!found.is_on()) refuse();
  if (colon == std::string_view::npos) return found;
  const std::string_view group = text.substr(colon + 1);
  if (!group.starts_with('g')) refuse();
  const auto size = parse_number<int64_t>(group.substr(1));
  if (!size || *size <= 0 || *size > kLargestGroup || *size % 8 != 0) refuse();
  found.group = *size;
  return found;
}

std::string name_of(const GroupQuantization& quantization) {
  if (quantization.codes == CodeType::kE2m1) return "mxfp4";
  const char* const type = quantization.codes == CodeType::kE4m3 ? "fp" : "int";
  return concat(type, quantization.bits, "g", quantization.group);
}

}  // namespace switchyard
