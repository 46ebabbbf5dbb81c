#include <algorithm>
#include <cstring>

#include "runtime/requests/json_text.h"
#include "runtime/requests/request.h"

namespace switchyard {
namespace {

// A bijection of 64 bits in which every input bit flips each output bit with odds near one half:
// two rounds of xor-shift and multiplication (constants of the generator SplitMix64).
uint64_t scramble(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

std::array<uint64_t, 2> hash_of(const RequestId& id) {
  const int64_t* number = std::get_if<int64_t>(&id);
  const std::string_view bytes =
      number ? std::string_view(reinterpret_cast<const char*>(number), sizeof *number)
             : std::string_view(std::get<std::string>(id));
  // Two chains over the words, apart by their start and by what they add to each word. Kind and
  // length go first, so that neither the padding nor the kind of an id can make two ids equal.
  const uint64_t start = bytes.size() * 2 + (number ? 1 : 0);
  std::array<uint64_t, 2> hash = {scramble(start + 0x9E3779B97F4A7C15u),
                                  scramble(start ^ 0xD1B54A32D192ED03u)};
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
    hash[0] = scramble(hash[0] ^ word);
    hash[1] = scramble(hash[1] + word * 0x9E3779B97F4A7C15u);
  }
  if (hash[0] == 0 && hash[1] == 0) hash[1] = 1;
  return hash;
}

std::string describe(const RequestId& id) {
  if (const int64_t* number = std::get_if<int64_t>(&id)) return std::to_string(*number);
  constexpr size_t kMaxBytes = 60;
  const std::string& text = std::get<std::string>(id);
  size_t length = text.size();
  if (length > kMaxBytes) {
    length = kMaxBytes;
    while ((static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;  // whole characters
  }
  std::string quoted;
  append_json_string(std::string_view(text).substr(0, length), quoted);
  return length == text.size() ? quoted : quoted + "...";
}

}  // namespace switchyard
