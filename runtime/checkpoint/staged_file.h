// A file that gets its name when it is whole.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "runtime/requests/file_handle.h"

namespace switchyard {

/// Written as PATH.tmp, in any order, by several threads and processes; PATH is never half-written.
/// Destroyed before publish(), it removes PATH.tmp.
class StagedFile {
 public:
  /// Makes PATH.tmp, empty. Throws Error(kInput) naming it when that is not possible.
  explicit StagedFile(std::string path);
  /// Writes into the PATH.tmp that another process has made, which removes and publishes it. Throws
  /// as above.
  static StagedFile join(std::string path);
  StagedFile(StagedFile&& other) noexcept;
  StagedFile& operator=(StagedFile&&) = delete;
  ~StagedFile();

  /// As messages name the file: PATH.tmp.
  const std::string& name() const { return temporary_; }

  /// Writes bytes. Those of a mebibyte and more go to the disk at once, past kBytesUnderWay of them
  /// the call waits, and the system keeps none: close() has little to wait for, and a checkpoint
  /// pushes nothing out of memory. Throws Error(kResource).
  void write_at(int64_t offset, std::string_view bytes) const;
  /// Waits until everything that was written here is on the disk. Throws Error(kResource).
  void close();
  /// Renames PATH.tmp to PATH. After close(), also of those who joined. Throws Error(kResource).
  void publish();

 private:
  /// Enough to keep a fast disk busy while the next bytes are made.
  static constexpr int64_t kBytesUnderWay = int64_t{64} << 20;

  /// What is on its way to the disk, in the order of writing.
  struct UnderWay {
    struct Range {
      int64_t offset = 0;
      int64_t bytes = 0;
    };
    std::mutex mutex;
    std::deque<Range> ranges;
    int64_t bytes = 0;
  };

  /// Begins to bring a range to the disk and waits for older ones.
  void send_off(int64_t offset, int64_t bytes) const;

  enum class Owner : uint8_t { kThis, kAnother };
  StagedFile(std::string path, int flags, Owner owner);

  std::string path_;
  std::string temporary_;
  Owner owner_;  // of temporary_, who removes it
  FileHandle file_;
  std::unique_ptr<UnderWay> under_way_ = std::make_unique<UnderWay>();
};

}  // namespace switchyard
