#include "runtime/checkpoint/random_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/error.h"

namespace switchyard {

namespace {

/// Of this thread, for all its files, of which a checkpoint may have a thousand. Aligned to a huge
/// page.
char* bounce_buffer() {
  thread_local const AlignedBuffer buffer(RandomFile::kBounceBytes);
  return buffer.as<char>();
}

int64_t block_remainder(const void* address) {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(address) %
                              static_cast<uintptr_t>(kDirectBlock));
}

}  // namespace

RandomFile::RandomFile(std::string path, FileCaching caching)
    : path_(std::move(path)), caching_(caching) {
  do {
    // Non-blocking, so that a pipe in the place of a file is refused instead of waited for.
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) {
    fail_input(path_, ": cannot be opened for reading: ", std::strerror(errno));
  }
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail_input(path_, ": is not a regular file");
  }
  size_ = status.st_size;
#ifdef O_DIRECT
  // Refused by file systems that have no disk, or know no way around the cache.
  is_direct_ = caching_ == FileCaching::kDirect &&
               ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) | O_DIRECT) == 0;
#endif
}

RandomFile::~RandomFile() { ::close(descriptor_); }

void RandomFile::use_page_cache() {
#ifdef O_DIRECT
  ::fcntl(descriptor_, F_SETFL, ::fcntl(descriptor_, F_GETFL) & ~O_DIRECT);
#endif
  is_direct_ = false;
}

int64_t RandomFile::read_once(int64_t offset, int64_t bytes, char* to, char* next_block) {
  // One call moves at most 2 GiB on Linux; 1 GiB keeps every count in range.
  const int64_t part = std::min(bytes, int64_t{1} << 30);
  const iovec parts[] = {{to, static_cast<size_t>(part)},
                         {next_block, static_cast<size_t>(kDirectBlock)}};
  const int num_parts = next_block != nullptr && part == bytes ? 2 : 1;
  for (;;) {
    const ssize_t got = ::preadv(descriptor_, parts, num_parts, offset);
    if (got >= 0 || (errno != EINTR && (errno != EINVAL || !is_direct_))) {
      if (got > 0 && caching_ == FileCaching::kDirect && !is_direct_) {
        ::posix_fadvise(descriptor_, offset, got, POSIX_FADV_DONTNEED);
      }
      return got;
    }
    // Some file systems take the flag and refuse the reads, or ask for larger blocks.
    if (errno == EINVAL) use_page_cache();
  }
}

int64_t RandomFile::read_blocks(int64_t offset, int64_t bytes, char* to) {
  const int64_t skip = offset % kDirectBlock;
  const int64_t shift = block_remainder(to) - skip;
  if (skip == 0 && shift == 0 && bytes >= kDirectBlock) {
    // The last block's bytes come with the same read.
    const int64_t tail = bytes % kDirectBlock;
    const int64_t whole = bytes - tail;
    char* const next_block = tail > 0 ? bounce_buffer() : nullptr;
    const int64_t got = read_once(offset, whole, to, next_block);
    if (got <= whole) return got;
    std::memcpy(to + whole, next_block, static_cast<size_t>(std::min(got - whole, tail)));
    return std::min(got, bytes);
  }
  // Where only the ends are unaligned, the next block begins a read without the buffer.
  char* const bounce = bounce_buffer();
  const int64_t most = shift == 0 ? kDirectBlock : kBounceBytes;
  const int64_t got =
      read_once(offset - skip, std::min(most, whole_blocks(skip + bytes)), bounce, nullptr);
  if (got < 0) return got;
  const int64_t useful = std::clamp<int64_t>(got - skip, 0, bytes);
  std::memcpy(to, bounce + skip, static_cast<size_t>(useful));
  return useful;
}

int64_t RandomFile::read_some(int64_t offset, int64_t bytes, char* to) {
  return is_direct_ ? read_blocks(offset, bytes, to) : read_once(offset, bytes, to, nullptr);
}

void RandomFile::read_at(int64_t offset, int64_t bytes, void* to, std::string_view what) {
  char* cursor = static_cast<char*>(to);
  int64_t done = 0;
  while (done < bytes) {
    const int64_t got = read_some(offset + done, bytes - done, cursor + done);
    if (got < 0) {
      fail_input(path_, ": reading ", what, " at byte ", offset + done,
                 " failed: ", std::strerror(errno));
    }
    if (got == 0) {
      fail_input(path_, ": the file has no byte ", offset + done, ", within ", what, " (", bytes,
                 " bytes from byte ", offset, "); it is truncated or was changed");
    }
    done += got;
    bytes_read_ += got;
  }
}

uint64_t RandomFile::identity() {
  constexpr int64_t kTailBytes = int64_t{64} << 10;
  std::string tail(static_cast<size_t>(std::min(size_, kTailBytes)), '\0');
  const int64_t begin = size_ - static_cast<int64_t>(tail.size());
  const auto bytes = static_cast<int64_t>(tail.size());
  int64_t done = 0;
  while (done < bytes) {
    const int64_t got = read_some(begin + done, bytes - done, tail.data() + done);
    if (got <= 0) break;
    done += got;
  }
  tail.resize(static_cast<size_t>(done));
  return std::hash<std::string>{}(tail) ^ static_cast<uint64_t>(size_);
}

std::string printable(std::string_view text) {
  constexpr size_t kLongest = 200;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F) {
      out += c;
    } else {
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  if (text.size() > kLongest) out += "...";
  return out;
}

}  // namespace switchyard
