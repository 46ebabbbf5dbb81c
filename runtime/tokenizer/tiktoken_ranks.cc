#include "runtime/tokenizer/tiktoken_ranks.h"

#include <algorithm>
#include <charconv>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/base64.h"
#include "runtime/tokenizer/text_file.h"

namespace switchyard {
namespace {

constexpr char kHelp[] = "a tiktoken vocabulary has lines '<base64 of a token> <rank>'";

std::optional<int32_t> parse_rank(std::string_view text) {
  int32_t rank = -1;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, rank);
  if (error != std::errc() || rest != end || rank < 0) return std::nullopt;
  return rank;
}

}  // namespace

TiktokenRanks::TiktokenRanks(const std::string& path) {
  const std::string text = read_text_file(path, kHelp);
  int64_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = std::string_view(text).substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++line_number;
    if (!line.empty()) add_line(line, line_number, path);
    begin = end + 1;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char character = static_cast<char>(byte);
    const std::optional<int32_t> id = find_id(std::string_view(&character, 1));
    if (!id) {
      fail_input(path, ": lacks a token for the byte ", byte,
                 ", so that not every text has tokens; ", kHelp);
    }
    byte_ids_[byte] = *id;
  }
}

void TiktokenRanks::add_line(std::string_view line, int64_t line_number, const std::string& path) {
  const size_t space = line.find(' ');
  const std::optional<std::string> bytes = decode_base64(line.substr(0, space));
  const std::optional<int32_t> rank =
      space == line.npos ? std::nullopt : parse_rank(line.substr(space + 1));
  if (!bytes || bytes->empty() || !rank) {
    fail_input(path, ":", line_number, ": expected '<base64 of a token> <rank>', found '",
               printable(line.substr(0, 80)), "'");
  }
  const auto [at, is_new] = bytes_of_id_.emplace(*rank, *bytes);
  if (!is_new) fail_input(path, ":", line_number, ": the rank ", *rank, " stands there twice");
  if (!ids_.emplace(at->second, *rank).second) {
    fail_input(path, ":", line_number, ": the token '", printable(*bytes), "' stands there twice");
  }
  longest_ = std::max(longest_, bytes->size());
  end_ = std::max<int64_t>(end_, int64_t{*rank} + 1);
}

std::optional<int32_t> TiktokenRanks::find_id(std::string_view bytes) const {
  if (bytes.size() > longest_) return std::nullopt;
  const auto found = ids_.find(bytes);
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

const std::string* TiktokenRanks::find_bytes(int32_t id) const {
  const auto found = bytes_of_id_.find(id);
  return found == bytes_of_id_.end() ? nullptr : &found->second;
}

}  // namespace switchyard
