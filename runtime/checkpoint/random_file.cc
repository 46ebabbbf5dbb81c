#include "runtime/checkpoint/random_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "kernels/base/error.h"

namespace switchyard {

RandomFile::RandomFile(std::string path) : path_(std::move(path)) {
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
}

RandomFile::~RandomFile() { ::close(descriptor_); }

void RandomFile::read_at(int64_t offset, int64_t bytes, void* to, std::string_view what) {
  char* cursor = static_cast<char*>(to);
  int64_t done = 0;
  while (done < bytes) {
    // One call moves at most 2 GiB on Linux; 1 GiB keeps every count in range.
    const auto part = static_cast<size_t>(std::min<int64_t>(bytes - done, int64_t{1} << 30));
    const ssize_t got = ::pread(descriptor_, cursor + done, part, offset + done);
    if (got < 0 && errno == EINTR) continue;
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

uint64_t RandomFile::identity() const {
  constexpr int64_t kTailBytes = int64_t{64} << 10;
  std::string tail(static_cast<size_t>(std::min(size_, kTailBytes)), '\0');
  const ssize_t count =
      pread(descriptor_, tail.data(), tail.size(), size_ - static_cast<int64_t>(tail.size()));
  tail.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
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
