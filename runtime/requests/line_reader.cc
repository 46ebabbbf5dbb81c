#include "runtime/requests/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 18;

FileHandle open_input(const std::string& path) {
  if (path == "-") return FileHandle::borrow(STDIN_FILENO);
  FileHandle file = FileHandle::open(path, O_RDONLY);
  if (!file.is_open()) {
    fail_input("cannot open ", path, " (", std::strerror(errno),
               "): expected a file of requests, one JSON object a line, or - for standard input");
  }
  return file;
}

}  // namespace

LineReader::LineReader(const std::string& path, int64_t max_line_bytes)
    : name_(path == "-" ? "standard input" : path),
      file_(open_input(path)),
      max_line_bytes_(max_line_bytes),
      block_(kBlockBytes) {
  struct stat status {};
  if (fstat(file_.descriptor(), &status) != 0) return;
  if (S_ISDIR(status.st_mode)) fail_input(name_, " is a directory, not a file of requests");
  if (S_ISREG(status.st_mode)) total_bytes_ = status.st_size;
}

std::optional<std::string_view> LineReader::next() {
  while (read_line()) {
    if (line_.ends_with('\r')) line_.pop_back();
    if (line_.find_first_not_of(" \t\r\n\v\f") != line_.npos) return line_;
  }
  return std::nullopt;
}

// Reads the next line into line_, without its "\n"; false at the end.
bool LineReader::read_line() {
  line_.clear();
  bool has_begun = false;
  while (block_at_ < block_end_ || fill()) {
    if (!has_begun) ++line_number_;
    has_begun = true;
    const char* begin = block_.data() + block_at_;
    const size_t available = block_end_ - block_at_;
    const void* end = std::memchr(begin, '\n', available);
    const size_t length = end ? static_cast<const char*>(end) - begin : available;
    if (static_cast<int64_t>(line_.size() + length) > max_line_bytes_) {
      fail_input(name_, ":", line_number_, ": the line is longer than ", max_line_bytes_,
                 " bytes; expected one request a line");
    }
    line_.append(begin, length);
    block_at_ += length + (end ? 1 : 0);
    bytes_done_ += static_cast<int64_t>(length) + (end ? 1 : 0);
    if (end) break;
  }
  // Some editors begin a file with U+FEFF.
  if (line_number_ == 1 && line_.starts_with("\xEF\xBB\xBF")) line_.erase(0, 3);
  return has_begun;
}

bool LineReader::fill() {
  ssize_t count = 0;
  do {
    count = ::read(file_.descriptor(), block_.data(), block_.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    fail_input("cannot read ", name_, " after line ", line_number_, " (", std::strerror(errno),
               ")");
  }
  block_at_ = 0;
  block_end_ = static_cast<size_t>(count);
  return count > 0;
}

}  // namespace switchyard
