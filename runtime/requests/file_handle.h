// A file descriptor with an owner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace switchyard {

/// Move-only. Writing reports every failure; errors of opening are left in errno for the caller,
/// who knows what the file is for.
class FileHandle {
 public:
  FileHandle() = default;
  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&& other) noexcept;
  ~FileHandle();

  /// As open(2), closed on exec, new files with mode 0666. Not open on failure, errno says why.
  static FileHandle open(const std::string& path, int flags);
  /// A descriptor of someone else's, never closed here.
  static FileHandle borrow(int descriptor);

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

  /// Writes all bytes. Throws Error(kResource) naming `name` and what to do.
  void write_all(std::string_view bytes, const std::string& name) const;
  /// Writes all bytes from `offset` on. Any thread. Throws Error(kResource) naming `name`.
  void write_all_at(std::string_view bytes, int64_t offset, const std::string& name) const;
  /// Waits until what was written is on the disk. Throws Error(kResource) naming `name`.
  void sync(const std::string& name) const;
  /// Closes an owned descriptor; what close(2) reports is an Error(kResource) naming `name`.
  void close(const std::string& name);

 private:
  int descriptor_ = -1;
  bool is_owned_ = false;
};

/// Gives a whole file its final name; whatever had it before is replaced. Throws Error(kResource)
/// naming both.
void rename_file(const std::string& from, const std::string& to);

/// Waits until the names in the folder that holds `path` are on the disk.
void sync_folder_of(const std::string& path);

}  // namespace switchyard
