#include "runtime/tokenizer/sentencepiece_check.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {
namespace {

constexpr size_t kUnitBytes = 4;

/// One field of a message; `bytes` only where it holds some.
struct Field {
  uint64_t number = 0;
  std::string_view bytes;
};

// Reads the fields of a message (protobuf.dev, "Encoding").
class Message {
 public:
  Message(std::string_view bytes, const std::string& path) : rest_(bytes), path_(path) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t tag = read_varint();
    Field field{tag >> 3, {}};
    switch (tag & 7) {
      case 0:
        read_varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        field.bytes = take(read_varint());
        break;
      case 5:
        take(4);
        break;
      default:
        fail();
    }
    return field;
  }

 private:
  [[noreturn]] void fail() const {
    fail_input(path_,
               " is no SentencePiece model: it is cut off or no message of protocol buffers");
  }

  uint64_t read_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) fail();
    const std::string_view taken = rest_.substr(0, static_cast<size_t>(size));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::string_view rest_;
  const std::string& path_;
};

// A double array: from the node at unit u the byte b leads to unit base(u) ^ b if the label there
// is b, and a node with a value has it at unit base(u).
class Trie {
 public:
  Trie(std::string_view units, size_t num_replacement_bytes, const std::string& path)
      : units_(units), num_replacement_bytes_(num_replacement_bytes), path_(path) {}

  void check() {
    is_seen_.assign(num_units(), false);
    visit(0);
    while (!to_visit_.empty()) {
      const size_t base = to_visit_.back();
      to_visit_.pop_back();
      for (size_t byte = 0; byte < 256; ++byte) {
        if ((unit(base ^ byte) & kLabelMask) == byte) visit(base ^ byte);
      }
    }
  }

 private:
  static constexpr uint32_t kLabelMask = 0x800000FF;
  static constexpr uint32_t kValueMask = 0x7FFFFFFF;

  size_t num_units() const { return units_.size() / kUnitBytes; }
  uint32_t unit(size_t at) const {
    return load_little_endian<uint32_t>(units_.data() + at * kUnitBytes);
  }

  void visit(size_t node) {
    const uint32_t current = unit(node);
    const size_t base = node ^ (size_t{current >> 10} << ((current & 0x200u) >> 6));
    if ((base | 0xFF) >= num_units()) {
      fail_input(path_, ": unit ", node, " of the normaliser's trie points beyond its ",
                 num_units(), " units");
    }
    const bool has_value = (current >> 8 & 1) == 1;
    if (has_value && (unit(base) & kValueMask) >= num_replacement_bytes_) {
      fail_input(path_, ": unit ", base, " of the normaliser's trie points beyond the ",
                 num_replacement_bytes_, " bytes of its replacements");
    }
    if (is_seen_[base]) return;
    is_seen_[base] = true;
    to_visit_.push_back(base);
  }

  std::string_view units_;
  size_t num_replacement_bytes_;
  const std::string& path_;
  std::vector<bool> is_seen_;
  std::vector<size_t> to_visit_;
};

void check_charsmap(std::string_view charsmap, const std::string& path) {
  if (charsmap.empty()) return;
  const size_t size =
      charsmap.size() < kUnitBytes ? 0 : load_little_endian<uint32_t>(charsmap.data());
  if (size == 0 || size % kUnitBytes != 0 || size >= charsmap.size() - kUnitBytes) {
    fail_input(path, ": the normaliser's trie is said to have ", size, " bytes, which is no ",
               "multiple of 4 within its ", charsmap.size(), " bytes of rules");
  }
  Trie(charsmap.substr(kUnitBytes, size), charsmap.size() - kUnitBytes - size, path).check();
}

}  // namespace

void check_sentencepiece_rules(std::string_view model, const std::string& path) {
  constexpr uint64_t kNormalizer = 3;
  constexpr uint64_t kDenormalizer = 5;
  constexpr uint64_t kCharsmap = 2;
  Message message(model, path);
  while (const std::optional<Field> field = message.next()) {
    if (field->number != kNormalizer && field->number != kDenormalizer) continue;
    Message normalizer(field->bytes, path);
    while (const std::optional<Field> inner = normalizer.next()) {
      if (inner->number == kCharsmap) check_charsmap(inner->bytes, path);
    }
  }
}

}  // namespace switchyard
