#include "kernels/base/nearest_name.h"

#include <algorithm>
#include <cstddef>

#include "kernels/base/error.h"

namespace switchyard {

int edit_distance(std::string_view a, std::string_view b) {
  const size_t columns = b.size() + 1;
  // table[i * columns + j]: distance of the first i letters of a to the first j of b.
  std::vector<int> table((a.size() + 1) * columns);
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j < columns; ++j) {
      int& best = table[i * columns + j];
      if (i == 0 || j == 0) {
        best = static_cast<int>(i + j);
        continue;
      }
      const int kept = table[(i - 1) * columns + j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      best = std::min({table[(i - 1) * columns + j] + 1, table[i * columns + j - 1] + 1, kept});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        best = std::min(best, table[(i - 2) * columns + j - 2] + 1);
      }
    }
  }
  return table.back();
}

std::optional<std::string> nearest_name(std::string_view text,
                                        const std::vector<std::string>& names) {
  constexpr size_t kLongestName = 64;  // nothing longer is a slip of the fingers
  if (text.empty() || text.size() > kLongestName) return std::nullopt;
  const int limit = std::clamp(static_cast<int>(text.size()) / 3, 1, 3);
  std::optional<std::string> nearest;
  int smallest = limit + 1;
  for (const std::string& name : names) {
    const bool is_beginning = text.size() >= 3 && name.starts_with(text);
    const int distance = is_beginning ? 0 : edit_distance(text, name);
    if (distance < smallest) {
      smallest = distance;
      nearest = name;
    }
  }
  return nearest;
}

std::string suggestion(std::string_view text, const std::vector<std::string>& names,
                       std::string_view prefix) {
  const std::optional<std::string> name = nearest_name(text, names);
  return name ? concat(" (did you mean '", prefix, *name, "'?)") : "";
}

}  // namespace switchyard
