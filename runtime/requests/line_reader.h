// Lines of a file or of standard input, one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/requests/file_handle.h"

namespace switchyard {

/// What the lines of a file are.
enum class LineForm : uint8_t {
  /// Records that end in "\n" or "\r\n". Lines of white space alone are counted and skipped, and
  /// so is U+FEFF at the file's beginning.
  kRecords,
  /// Text that ends in "\n", "\r\n" or "\r", as Python reads text files. Nothing is skipped.
  kText,
};

/// Reads lines in order, keeping no more than one of them and a block in memory.
class LineReader {
 public:
  /// Longer lines are an error: a request of a million tokens has 8 MB.
  static constexpr int64_t kDefaultMaxLineBytes = int64_t{64} << 20;

  /// `path` "-" is standard input. Throws Error(kInput) when it cannot be opened.
  explicit LineReader(const std::string& path, LineForm form = LineForm::kRecords,
                      int64_t max_line_bytes = kDefaultMaxLineBytes);

  /// The next line, without its end, valid until the next call; empty at the end of the file.
  /// Throws Error(kInput) naming the line when reading fails or the line is too long.
  std::optional<std::string_view> next();

  /// Whether nothing more of the file has come yet, so that next() would wait for its writer. A
  /// line of which a part has come is waited for all the same.
  bool would_wait() const;

  /// 1-based number of the line that next() gave last.
  int64_t line_number() const { return line_number_; }
  /// Bytes of the lines that next() gave or skipped, line ends included.
  int64_t bytes_done() const { return bytes_done_; }
  /// Size when this was opened; empty when it is not a regular file.
  std::optional<int64_t> total_bytes() const { return total_bytes_; }
  /// The path, or "standard input", for messages.
  const std::string& name() const { return name_; }

 private:
  bool read_line();
  size_t take_until_end();
  bool fill();

  std::string name_;
  LineForm form_;
  FileHandle file_;
  int64_t max_line_bytes_;
  std::optional<int64_t> total_bytes_;
  std::vector<char> block_;
  size_t block_at_ = 0;
  size_t block_end_ = 0;
  bool after_return_ = false;  // the last byte taken was a "\r" that ended a line of text
  std::string line_;
  int64_t line_number_ = 0;
  int64_t bytes_done_ = 0;
};

}  // namespace switchyard
