// A file that gets its name when it is whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/requests/file_handle.h"

namespace switchyard {

/// Written as PATH.tmp, in any order and by several threads; PATH is never half-written. Destroyed
/// before publish(), it removes PATH.tmp.
class StagedFile {
 public:
  /// Makes PATH.tmp, empty. Throws Error(kInput) naming it when that is not possible.
  explicit StagedFile(std::string path);
  StagedFile(StagedFile&& other) noexcept;
  StagedFile& operator=(StagedFile&&) = delete;
  ~StagedFile();

  /// As messages name the file: PATH.tmp.
  const std::string& name() const { return temporary_; }

  /// Writes bytes. Of a mebibyte and more the way to the disk begins at once, so that close() has
  /// little to wait for. Throws Error(kResource).
  void write_at(int64_t offset, std::string_view bytes) const;
  /// Waits until everything is on the disk. Throws Error(kResource).
  void close();
  /// Renames PATH.tmp to PATH. After close(). Throws Error(kResource).
  void publish();

 private:
  std::string path_;
  std::string temporary_;  // empty: nothing to remove
  FileHandle file_;
};

}  // namespace switchyard
