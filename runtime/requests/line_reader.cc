#include "runtime/requests/line_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 18;

const char* expected_file(LineForm form) {
  return form == LineForm::kText ? "a text file" : "a file of requests, one JSON object a line";
}

FileHandle open_input(const std::string& path, LineForm form) {
  if (path == "-") return FileHandle::borrow(STDIN_FILENO);
  FileHandle file = FileHandle::open(path, O_RDONLY);
  if (!file.is_open()) {
    fail_input("cannot open ", path, " (", std::strerror(errno), "): expected ",
               expected_file(form), ", or - for standard input");
  }
  return file;
}

/// Where the line that goes on at the beginning of `bytes` ends; their size if not in them.
size_t find_line_end(std::string_view bytes, LineForm form) {
  const size_t end = form == LineForm::kRecords ? bytes.find('\n') : bytes.find_first_of("\n\r");
  return std::min(end, bytes.size());
}

}  // namespace

LineReader::LineReader(const std::string& path, LineForm form, int64_t max_line_bytes)
    : name_(path == "-" ? "standard input" : path),
      form_(form),
      file_(open_input(path, form)),
      max_line_bytes_(max_line_bytes),
      block_(kBlockBytes) {
  struct stat status {};
  if (fstat(file_.descriptor(), &status) != 0) return;
  if (S_ISDIR(status.st_mode)) {
    fail_input(name_, " is a directory, not ", expected_file(form));
  }
  if (S_ISREG(status.st_mode)) total_bytes_ = status.st_size;
}

std::optional<std::string_view> LineReader::next() {
  while (read_line()) {
    if (form_ == LineForm::kText) return line_;
    if (line_.ends_with('\r')) line_.pop_back();
    if (line_.find_first_not_of(" \t\r\n\v\f") != line_.npos) return line_;
  }
  return std::nullopt;
}

bool LineReader::would_wait() const {
  if (block_at_ < block_end_) return false;
  pollfd file{file_.descriptor(), POLLIN, 0};
  return poll(&file, 1, 0) == 0;
}

// Reads the next line into line_, without its end; false at the end of the file.
bool LineReader::read_line() {
  line_.clear();
  bool has_begun = false;
  while (block_at_ < block_end_ || fill()) {
    // "\r\n" ends one line, also where the two stand in different blocks.
    if (after_return_ && block_[block_at_] == '\n') {
      ++block_at_;
      ++bytes_done_;
      after_return_ = false;
      continue;
    }
    after_return_ = false;
    if (!has_begun) ++line_number_;
    has_begun = true;
    if (take_until_end() > 0) break;
  }
  // Some editors begin a file with U+FEFF.
  if (form_ == LineForm::kRecords && line_number_ == 1 && line_.starts_with("\xEF\xBB\xBF")) {
    line_.erase(0, 3);
  }
  return has_begun;
}

// Appends the rest of the line that stands in the block; gives the bytes of its end, 0 where the
// line goes on.
size_t LineReader::take_until_end() {
  const std::string_view rest(block_.data() + block_at_, block_end_ - block_at_);
  const size_t length = find_line_end(rest, form_);
  if (static_cast<int64_t>(line_.size() + length) > max_line_bytes_) {
    fail_input(name_, ":", line_number_, ": the line is longer than ", max_line_bytes_, " bytes",
               form_ == LineForm::kText ? "" : "; expected one request a line");
  }
  line_.append(rest.substr(0, length));
  const size_t end = length < rest.size() ? 1 : 0;
  after_return_ = end > 0 && rest[length] == '\r';
  block_at_ += length + end;
  bytes_done_ += static_cast<int64_t>(length + end);
  return end;
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
