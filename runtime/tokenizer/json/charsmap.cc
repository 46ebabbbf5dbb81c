#include "runtime/tokenizer/json/charsmap.h"

#include <utility>

#include "kernels/base/error.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

constexpr size_t kUnitBytes = 4;
constexpr uint32_t kLabelMask = 0x800000FF;  // the top bit marks a value, which no byte equals
constexpr uint32_t kValueMask = 0x7FFFFFFF;

uint32_t read_unit(std::string_view bytes, size_t at) {
  uint32_t unit = 0;
  for (size_t i = 0; i < kUnitBytes; ++i) {
    unit |= uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return unit;
}

bool has_leaf(uint32_t unit) { return ((unit >> 8) & 1) == 1; }

// How far the children of a node lie from it; bit 9 says that the number is in units of 256.
size_t offset_of(uint32_t unit) { return size_t{unit >> 10} << ((unit & (1u << 9)) >> 6); }

}  // namespace

Charsmap::Charsmap(std::string_view blob, std::string place) : place_(std::move(place)) {
  if (blob.size() < kUnitBytes)
    fail_input(place_, ": expected rules, found ", blob.size(), " bytes");
  const size_t trie_bytes = read_unit(blob, 0);
  if (trie_bytes == 0 || trie_bytes % kUnitBytes != 0 || trie_bytes > blob.size() - kUnitBytes) {
    fail_input(place_, ": the trie is said to have ", trie_bytes,
               " bytes, which is no multiple of ", kUnitBytes, " within the ", blob.size(),
               " bytes of the rules");
  }
  for (size_t at = kUnitBytes; at < kUnitBytes + trie_bytes; at += kUnitBytes) {
    units_.push_back(read_unit(blob, at));
  }
  replacements_ = blob.substr(kUnitBytes + trie_bytes);
  if (find_invalid_utf8(replacements_) != std::string::npos) {
    fail_input(place_, ": the replacements are not UTF-8");
  }
}

uint32_t Charsmap::unit(size_t position) const {
  if (position >= units_.size()) {
    fail_input(place_, ": the trie of ", units_.size(), " units points to unit ", position);
  }
  return units_[position];
}

std::optional<std::string_view> Charsmap::find(std::string_view text) const {
  size_t node = offset_of(unit(0));
  for (const char character : text) {
    const unsigned char byte = static_cast<unsigned char>(character);
    if (byte == 0) return std::nullopt;
    node ^= byte;
    const uint32_t current = unit(node);
    if ((current & kLabelMask) != byte) return std::nullopt;
    node ^= offset_of(current);
    if (!has_leaf(current)) continue;
    const size_t begin = unit(node) & kValueMask;
    const size_t end = replacements_.find('\0', begin);
    const bool is_inside_character =
        begin < replacements_.size() && (replacements_[begin] & 0xC0) == 0x80;
    if (end == std::string::npos || is_inside_character) {
      fail_input(place_, ": a rule points to byte ", begin, " of the replacements, where none is");
    }
    return std::string_view(replacements_).substr(begin, end - begin);
  }
  return std::nullopt;
}

}  // namespace switchyard
