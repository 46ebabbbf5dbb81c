// Finding which of many texts stand at a place of a text.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace switchyard {

/// Texts with a number each, sorted, so that those that begin a given text are found by narrowing
/// a range byte by byte. Immutable and thread-safe.
class PrefixIndex {
 public:
  struct Entry {
    std::string text;
    int32_t value = 0;
  };

  /// Texts are not empty. Of equal ones the first counts.
  explicit PrefixIndex(std::vector<Entry> entries);

  /// Calls visit(length in bytes, value) for each of the texts that begin `text`, shortest first.
  template <typename Visit>
  void for_each_prefix(std::string_view text, Visit&& visit) const {
    if (text.empty()) return;
    const unsigned char first = static_cast<unsigned char>(text[0]);
    size_t low = first_[first];
    size_t high = first_[first + 1];
    for (size_t length = 1; low < high; ++length) {
      if (entries_[low].text.size() == length) {
        visit(length, entries_[low].value);
        ++low;
      }
      if (length == text.size()) return;
      narrow(static_cast<unsigned char>(text[length]), length, low, high);
    }
  }

 private:
  /// Leaves the entries, all longer than `at`, that have `byte` there.
  void narrow(unsigned char byte, size_t at, size_t& low, size_t& high) const;

  std::vector<Entry> entries_;
  std::array<size_t, 257> first_{};  // of the entries that begin with each byte
};

}  // namespace switchyard
