// The options of `generate`.
#pragma once

#include "launch/option_table.h"
#include "runtime/generate_options.h"

namespace switchyard {

/// The table of all options of `generate`, which stores into `options`; it must outlive the table.
OptionTable make_generate_option_table(GenerateOptions& options);

/// What a value of --stop stands for: a JSON list of strings where it begins with "[", else itself.
/// Throws BadValue.
std::vector<std::string> parse_stops(const std::string& text);

}  // namespace switchyard
