#include "runtime/checkpoint/staged_file.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

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
      file_(std::move(other.file_)),
      under_way_(std::move(other.under_way_)) {}

StagedFile::~StagedFile() {
  if (owner_ == Owner::kAnother) return;
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void StagedFile::write_at(int64_t offset, std::string_view bytes) const {
  file_.write_all_at(bytes, offset, temporary_);
  // Small pieces share pages with their neighbours, which would go to the disk twice.
  constexpr size_t kWorthSending = size_t{1} << 20;
  if (bytes.size() >= kWorthSending) send_off(offset, static_cast<int64_t>(bytes.size()));
}

void StagedFile::send_off([[maybe_unused]] int64_t offset, [[maybe_unused]] int64_t bytes) const {
#ifdef __linux__
  // Left to itself the system lets a large part of memory fill with written pages and then stops
  // everybody who writes: 0.3 GB/s instead of 2.5 on the disk this was measured on. A failure here
  // is one of the disk, which close() reports.
  sync_file_range(file_.descriptor(), offset, bytes, SYNC_FILE_RANGE_WRITE);
  std::vector<UnderWay::Range> oldest;
  {
    const std::lock_guard lock(under_way_->mutex);
    under_way_->ranges.push_back({offset, bytes});
    under_way_->bytes += bytes;
    while (under_way_->bytes > kBytesUnderWay && under_way_->ranges.size() > 1) {
      oldest.push_back(under_way_->ranges.front());
      under_way_->bytes -= under_way_->ranges.front().bytes;
      under_way_->ranges.pop_front();
    }
  }
  for (const UnderWay::Range& range : oldest) {
    sync_file_range(
        file_.descriptor(), range.offset, range.bytes,
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(file_.descriptor(), range.offset, range.bytes, POSIX_FADV_DONTNEED);
  }
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
