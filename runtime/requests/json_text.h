// JSON as we write it: a fixed text for every value.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

/// Appends a quoted string: \" \\ \b \f \n \r \t and \u00xx for other characters below U+0020, all
/// else as it is. `text` is valid UTF-8.
void append_json_string(std::string_view text, std::string& out);

/// Appends the shortest number that reads back as the same fp32, with ".0" where it would read as
/// an integer. Throws Error(kInternal) for NaN and infinities, which JSON cannot hold.
void append_json_number(float value, std::string& out);
/// The same for fp64.
void append_json_number(double value, std::string& out);

}  // namespace switchyard
