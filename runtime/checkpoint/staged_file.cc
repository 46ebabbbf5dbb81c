#include "runtime/checkpoint/staged_file.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {

StagedFile::StagedFile(std::string path, int flags, Owner owner)
    : path_(std::move(path)),
      temporary_(path_ + ".tmp"),
      owner_(owner),
      file_(FileHandle::open(temporary_, flags)) {
  if (file_.is_open()) return;
  fail_input("cannot write ", temporary_, " (", std::strerror(errno),
             "): expected a folder that exists and may be written to");
}

StagedFile::StagedFile(std::string path)
    : StagedFile(std::move(path), O_WRONLY | O_CREAT | O_TRUNC, Owner::kThis) {}

StagedFile StagedFile::join(std::string path) {
  return StagedFile(std::move(path), O_WRONLY, Owner::kAnother);
}

StagedFile::StagedFile(StagedFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      owner_(std::exchange(other.owner_, Owner::kAnother)),
      file_(std::move(other.file_)) {}

StagedFile::~StagedFile() {
  if (owner_ == Owner::kAnother) return;
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void StagedFile::write_at(int64_t offset, std::string_view bytes) const {
  file_.write_all_at(bytes, offset, temporary_);
#ifdef __linux__
  // Small pieces share pages with their neighbours, which would go to the disk twice.
  constexpr size_t kWorthStarting = size_t{1} << 20;
  if (bytes.size() < kWorthStarting) return;
  // Left to itself the system lets a large part of memory fill with unwritten pages and then stops
  // everybody who writes: 0.5 GB/s instead of 1.5 on the disk this was measured on. A failure here
  // is one of the disk, which close() reports.
  sync_file_range(file_.descriptor(), offset, static_cast<off64_t>(bytes.size()),
                  SYNC_FILE_RANGE_WRITE);
#endif
}

void StagedFile::close() {
  file_.sync(temporary_);
  file_.close(temporary_);
}

void StagedFile::publish() {
  // Whatever happens now, the file is whole: it stays.
  owner_ = Owner::kAnother;
  rename_file(temporary_, path_);
}

}  // namespace switchyard
