// Text and numbers as a page shows them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// `text` with the characters that HTML and XML take for their own replaced; control characters,
/// which neither may hold, become U+FFFD. `text` is valid UTF-8.
std::string escape_html(std::string_view text);

/// A share as "48.5 %".
std::string format_percent(double share);

/// "1.25 s", "3.10 ms" or "12.0 us".
std::string format_seconds(double seconds);

/// A number for people: whole numbers with spaces between thousands, as "12 345".
std::string format_count(int64_t count);

/// A place on a drawing, in hundredths at most and without zeros at the end.
std::string format_place(double place);

/// The step, 1, 2 or 5 times a power of ten, that cuts `range` into at most `most` parts.
double tick_step(double range, int most);

/// A table; cells are text, not HTML. Columns of numbers stand to the right.
std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows);

}  // namespace switchyard
