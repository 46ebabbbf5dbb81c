#include "runtime/requests/duplicate_ids.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/requests/line_reader.h"

namespace switchyard {
namespace {

constexpr size_t kFirstTableSize = 1024;

// A bijection of 64 bits in which every input bit flips each output bit with odds near one half:
// two rounds of xor-shift and multiplication (constants of the generator SplitMix64).
uint64_t scramble(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

DuplicateIds::DuplicateIds(std::string path, std::string name)
    : path_(std::move(path)), name_(std::move(name)), table_(kFirstTableSize, Hash{0, 0}) {}

DuplicateIds::Hash DuplicateIds::hash_of(const RequestId& id) {
  const int64_t* number = std::get_if<int64_t>(&id);
  const std::string_view bytes =
      number ? std::string_view(reinterpret_cast<const char*>(number), sizeof *number)
             : std::string_view(std::get<std::string>(id));
  // Two chains over the words, apart by their start and by what they add to each word. Kind and
  // length go first, so that neither the padding nor the kind of an id can make two ids equal.
  const uint64_t start = bytes.size() * 2 + (number ? 1 : 0);
  Hash hash = {scramble(start + 0x9E3779B97F4A7C15u), scramble(start ^ 0xD1B54A32D192ED03u)};
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
    hash[0] = scramble(hash[0] ^ word);
    hash[1] = scramble(hash[1] + word * 0x9E3779B97F4A7C15u);
  }
  if (hash == Hash{0, 0}) hash[1] = 1;
  return hash;
}

void DuplicateIds::add(const Request& request) {
  if (!insert(hash_of(request.id))) check_earlier_lines(request);
}

bool DuplicateIds::insert(const Hash& hash) {
  const size_t mask = table_.size() - 1;
  size_t at = hash[0] & mask;
  while (table_[at] != Hash{0, 0}) {
    if (table_[at] == hash) return false;
    at = (at + 1) & mask;
  }
  table_[at] = hash;
  ++num_used_;
  if (num_used_ * 4 > static_cast<int64_t>(table_.size()) * 3) grow();
  return true;
}

void DuplicateIds::grow() {
  std::vector<Hash> larger(table_.size() * 2, Hash{0, 0});
  const size_t mask = larger.size() - 1;
  for (const Hash& hash : table_) {
    if (hash == Hash{0, 0}) continue;
    size_t at = hash[0] & mask;
    while (larger[at] != Hash{0, 0}) at = (at + 1) & mask;
    larger[at] = hash;
  }
  table_ = std::move(larger);
}

void DuplicateIds::check_earlier_lines(const Request& request) const {
  const auto fail = [&](const std::string& first_line) {
    fail_input(describe_place(request, name_), " has an id that an earlier request has", first_line,
               "; ids must differ, so that every result can be told apart");
  };
  std::error_code error;
  if (path_ == "-" || !std::filesystem::is_regular_file(path_, error)) fail("");
  LineReader reader(path_);
  while (const auto line = reader.next()) {
    if (reader.line_number() >= request.line) return;  // equal hashes of different ids
    const Request earlier = parse_request(*line, reader.line_number(), name_);
    if (earlier.id == request.id) fail(concat(" too (line ", earlier.line, ")"));
  }
}

}  // namespace switchyard
