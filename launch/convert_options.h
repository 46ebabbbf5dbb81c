// The options of `convert`.
#pragma once

#include "launch/option_table.h"
#include "runtime/convert.h"

namespace switchyard {

/// The table of all options of `convert`, which stores into `options`; it must outlive the table.
OptionTable make_convert_option_table(ConvertOptions& options);

}  // namespace switchyard
