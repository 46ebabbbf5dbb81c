// A file that is read at chosen places, with every byte counted.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace switchyard {

/// Whether the system keeps what is read.
enum class FileCaching : uint8_t {
  kPageCache,  ///< it does, and reads ahead
  /// It does not: bytes come from the disk straight into memory (O_DIRECT), so that a file larger
  /// than memory pushes nothing out of it. A file system that cannot do this reads as ever, and
  /// what was read is dropped.
  kDirect,
};

/// Direct reads move blocks of so many bytes: offset, length and address are multiples of it. The
/// largest unit that disks are known to ask for.
inline constexpr int64_t kDirectBlock = 4096;

/// `bytes` up to the next whole block of a direct read.
inline constexpr int64_t whole_blocks(int64_t bytes) {
  return (bytes + kDirectBlock - 1) / kDirectBlock * kDirectBlock;
}

/// An open regular file. Not safe for use by two threads at once (the counter).
class RandomFile {
 public:
  /// Opens for reading; throws Error(kInput) naming the path if it cannot be opened or is no
  /// regular file.
  explicit RandomFile(std::string path, FileCaching caching = FileCaching::kPageCache);
  ~RandomFile();
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;

  const std::string& path() const { return path_; }
  /// Bytes of the file when it was opened.
  int64_t size() const { return size_; }
  int64_t bytes_read() const { return bytes_read_; }

  /// Reads exactly `bytes` bytes from `offset`; any of the three may have any value. Throws
  /// Error(kInput) naming the file, the offset and `what` (what the bytes are, as "tensor
  /// fc1.weight") if the file ends before or a read fails. kDirect: whole blocks go straight to
  /// `to` where address and offset have the same remainder of kDirectBlock, all else through a
  /// buffer of kBounceBytes of the thread; from a block's border to an aligned address it is one
  /// read.
  void read_at(int64_t offset, int64_t bytes, void* to, std::string_view what);

  /// Tells two files of one name apart, as hosts with disks of their own may have: the size and a
  /// hash of the last 64 KiB, where a zip's directory has the checksums of what the file holds. The
  /// bytes are not counted.
  uint64_t identity();

  /// Bytes of a thread's buffer for what is not aligned in direct reads: a huge page.
  static constexpr int64_t kBounceBytes = int64_t{2} << 20;

 private:
  /// What one read gives: bytes, 0 at the end of the file, or less than 0 and errno. What follows
  /// `bytes` goes to `next_block`, kDirectBlock bytes, unless that is null.
  int64_t read_once(int64_t offset, int64_t bytes, char* to, char* next_block);
  /// The same of a direct read of whole blocks, into `to` or through the buffer.
  int64_t read_blocks(int64_t offset, int64_t bytes, char* to);
  /// The same in the way that the file is open.
  int64_t read_some(int64_t offset, int64_t bytes, char* to);
  void use_page_cache();

  std::string path_;
  const FileCaching caching_;
  int descriptor_ = -1;
  bool is_direct_ = false;  // the descriptor has O_DIRECT
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
