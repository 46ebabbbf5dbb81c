#include "runtime/requests/file_handle.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

[[noreturn]] void fail_write(const std::string& name) {
  const int error = errno;
  const char* help = error == ENOSPC || error == EDQUOT || error == EFBIG
                         ? "; free space there or choose another place, then run again"
                         : "; check the file system, then run again";
  fail_resource("cannot write ", name, " (", std::strerror(error), ")", help);
}

}  // namespace

FileHandle::FileHandle(FileHandle&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      is_owned_(std::exchange(other.is_owned_, false)) {}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(is_owned_, other.is_owned_);
  return *this;
}

FileHandle::~FileHandle() {
  if (is_owned_) ::close(descriptor_);
}

FileHandle FileHandle::open(const std::string& path, int flags) {
  FileHandle file;
  file.descriptor_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  file.is_owned_ = file.descriptor_ >= 0;
  return file;
}

FileHandle FileHandle::borrow(int descriptor) {
  FileHandle file;
  file.descriptor_ = descriptor;
  return file;
}

void FileHandle::write_all(std::string_view bytes, const std::string& name) const {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_write(name);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

void FileHandle::write_all_at(std::string_view bytes, int64_t offset,
                              const std::string& name) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(descriptor_, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_write(name);
    bytes.remove_prefix(static_cast<size_t>(count));
    offset += count;
  }
}

void FileHandle::sync(const std::string& name) const {
  // Some file systems cannot sync and say so with EINVAL; nothing is lost there by not waiting.
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail_write(name);
}

void FileHandle::close(const std::string& name) {
  if (!is_owned_) return;
  is_owned_ = false;
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail_write(name);
}

void rename_file(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return;
  fail_resource("cannot rename ", from, " to ", to, " (", std::strerror(errno),
                "); the file is complete under its first name");
}

void sync_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const FileHandle handle = FileHandle::open(folder, O_RDONLY | O_DIRECTORY);
  if (handle.is_open()) handle.sync(folder);
}

}  // namespace switchyard
