// A file that is read at chosen places, with every byte counted.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace switchyard {

/// An open regular file. Not safe for use by two threads at once (the counter).
class RandomFile {
 public:
  /// Opens for reading; throws Error(kInput) naming the path if it cannot be opened or is no
  /// regular file.
  explicit RandomFile(std::string path);
  ~RandomFile();
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;

  const std::string& path() const { return path_; }
  /// Bytes of the file when it was opened.
  int64_t size() const { return size_; }
  int64_t bytes_read() const { return bytes_read_; }

  /// Reads exactly `bytes` bytes from `offset`. Throws Error(kInput) naming the file, the offset
  /// and `what` (what the bytes are, as "tensor fc1.weight") if the file ends before or a read
  /// fails.
  void read_at(int64_t offset, int64_t bytes, void* to, std::string_view what);

  /// Tells two files of one name apart, as hosts with disks of their own may have: the size and a
  /// hash of the last 64 KiB, where a zip's directory has the checksums of what the file holds. The
  /// bytes are not counted.
  uint64_t identity() const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  int64_t bytes_read_ = 0;
};

/// The unsigned little-endian integer that starts at `bytes`.
template <typename T>
T load_little_endian(const char* bytes) {
  static_assert(std::endian::native == std::endian::little, "files are little-endian");
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

/// `text` for a message: bytes outside printable ASCII as \xHH, cut after 200 bytes.
std::string printable(std::string_view text);

}  // namespace switchyard
