// Special tokens in the midst of a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/json/prefix_index.h"
#include "runtime/tokenizer/tokenizer_config.h"

namespace switchyard {

/// Finds names in a text: the leftmost, of those that begin there the longest. Immutable and
/// thread-safe.
class SpecialTokenFinder {
 public:
  struct Found {
    size_t begin = 0;  // bytes of the text
    size_t end = 0;
    int32_t id = 0;
  };

  /// No name is empty; of equal names the first counts.
  explicit SpecialTokenFinder(const std::vector<AddedToken>& tokens);

  /// The first name at or after `from`.
  std::optional<Found> find(std::string_view text, size_t from) const;

 private:
  PrefixIndex names_;  // values: ids
};

}  // namespace switchyard
