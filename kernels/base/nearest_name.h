// What somebody may have meant by a misspelt name.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// The fewest insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
int edit_distance(std::string_view a, std::string_view b);

/// The name nearest to `text`, the earlier one at a tie: one it is the beginning of, or one at most
/// a third of its letters away (at least 1, at most 3). Empty if there is none.
std::optional<std::string> nearest_name(std::string_view text,
                                        const std::vector<std::string>& names);

/// " (did you mean 'NAME'?)", with `prefix` before the name, or nothing.
std::string suggestion(std::string_view text, const std::vector<std::string>& names,
                       std::string_view prefix = "");

}  // namespace switchyard
