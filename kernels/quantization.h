// Names of the forms in which quantised weights are kept.
#pragma once

#include <string>
#include <string_view>

#include "kernels/weight.h"

namespace switchyard {

/// Codes of `bits` (8, 4, 3 or 2) in groups of the size that suits them: 128, 64, 64, 16 inputs.
GroupQuantization default_quantization(int bits);

/// "int8", "int4", "int3" or "int2", alone or with a group of its own as in "int4:g32". Throws
/// BadValue for anything else.
GroupQuantization parse_quantization(std::string_view text);

/// "int4g64", with the group's size always, or "fp8g128" and "mxfp4" of given codes; `quantization`
/// is on.
std::string name_of(const GroupQuantization& quantization);

}  // namespace switchyard
