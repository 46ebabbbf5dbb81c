#include "runtime/requests/duplicate_ids.h"

#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/requests/line_reader.h"

namespace switchyard {
namespace {

constexpr size_t kFirstTableSize = 1024;

}  // namespace

DuplicateIds::DuplicateIds(std::string path, std::string name)
    : path_(std::move(path)), name_(std::move(name)), table_(kFirstTableSize, Hash{0, 0}) {}

void DuplicateIds::add(const RequestId& id, int64_t line) {
  if (!insert(hash_of(id))) check_earlier_lines(id, line);
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

void DuplicateIds::check_earlier_lines(const RequestId& id, int64_t line) const {
  const auto fail = [&](const std::string& first_line) {
    fail_input(describe_place(id, line, name_), " has an id that an earlier request has",
               first_line, "; ids must differ, so that every result can be told apart");
  };
  std::error_code error;
  if (path_ == "-" || !std::filesystem::is_regular_file(path_, error)) fail("");
  LineReader reader(path_);
  while (const auto text = reader.next()) {
    const int64_t earlier = reader.line_number();
    if (earlier >= line) return;  // equal hashes of different ids
    if (parse_request_id(*text, earlier, name_) == id) fail(concat(" too (line ", earlier, ")"));
  }
}

}  // namespace switchyard
