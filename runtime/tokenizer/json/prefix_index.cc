#include "runtime/tokenizer/json/prefix_index.h"

namespace switchyard {
namespace {

unsigned char byte_at(const PrefixIndex::Entry& entry, size_t at) {
  return static_cast<unsigned char>(entry.text[at]);
}

}  // namespace

PrefixIndex::PrefixIndex(std::vector<Entry> entries) : entries_(std::move(entries)) {
  const auto by_text = [](const Entry& left, const Entry& right) { return left.text < right.text; };
  std::stable_sort(entries_.begin(), entries_.end(), by_text);
  const auto is_same = [](const Entry& left, const Entry& right) {
    return left.text == right.text;
  };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), is_same), entries_.end());
  for (const Entry& entry : entries_) ++first_[byte_at(entry, 0) + 1];
  for (size_t byte = 1; byte < first_.size(); ++byte) first_[byte] += first_[byte - 1];
}

void PrefixIndex::narrow(unsigned char byte, size_t at, size_t& low, size_t& high) const {
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(low);
  const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(high);
  const auto from = std::partition_point(
      begin, end, [&](const Entry& entry) { return byte_at(entry, at) < byte; });
  const auto to = std::partition_point(
      from, end, [&](const Entry& entry) { return byte_at(entry, at) == byte; });
  low = static_cast<size_t>(from - entries_.begin());
  high = static_cast<size_t>(to - entries_.begin());
}

}  // namespace switchyard
