// A tiktoken vocabulary file.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace switchyard {

/// The tokens of lines "<base64 of the bytes> <rank>". A token's rank is its id; of two pieces that
/// could be merged the one of the lower rank is. Immutable and thread-safe.
class TiktokenRanks {
 public:
  /// Throws Error(kInput) naming file and line for what is malformed or stands there twice, and for
  /// a vocabulary without one of the 256 bytes.
  explicit TiktokenRanks(const std::string& path);

  /// The id of these bytes, none if they are no token.
  std::optional<int32_t> find_id(std::string_view bytes) const;
  int32_t id_of_byte(char byte) const { return byte_ids_[static_cast<unsigned char>(byte)]; }
  /// Null for an id without a token.
  const std::string* find_bytes(int32_t id) const;
  /// Lines of the file.
  int64_t size() const { return static_cast<int64_t>(bytes_of_id_.size()); }
  /// Ids are below this.
  int64_t end() const { return end_; }

 private:
  void add_line(std::string_view line, int64_t line_number, const std::string& path);

  std::unordered_map<int32_t, std::string> bytes_of_id_;
  std::unordered_map<std::string_view, int32_t> ids_;  // views into bytes_of_id_
  std::array<int32_t, 256> byte_ids_{};
  size_t longest_ = 0;  // bytes of a token
  int64_t end_ = 0;
};

}  // namespace switchyard
