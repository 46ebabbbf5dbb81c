// The layout of a zip archive that torch reads: entries stored as they are, payloads aligned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

/// An entry before it is written: name (ASCII) and bytes of its payload.
struct ZipEntryPlan {
  std::string name;
  int64_t size = 0;
};

/// The smallest numbers that need the 64-bit fields of zip64. Anything below these defaults makes
/// an archive use them early, which every reader of zip64 must bear.
struct Zip64Thresholds {
  int64_t bytes = 0xFFFFFFFF;  // of sizes and offsets
  int64_t entries = 0xFFFF;
};

/// Where everything stands in an archive whose names and sizes are known before a byte is written,
/// so that payloads can be written in any order and the checksums last.
class ZipLayout {
 public:
  /// What torch.save aligns payloads to, with an extra field of the local header.
  static constexpr int64_t kAlignment = 64;

  explicit ZipLayout(std::vector<ZipEntryPlan> entries, const Zip64Thresholds& thresholds = {});

  const std::vector<ZipEntryPlan>& entries() const { return entries_; }
  /// Offsets of an entry's local header and of its payload.
  int64_t header_offset(size_t entry) const { return places_[entry].header; }
  int64_t payload_offset(size_t entry) const { return places_[entry].payload; }
  /// Where the directory starts: after the last payload.
  int64_t directory_offset() const { return directory_offset_; }
  /// Of the whole archive.
  int64_t file_bytes() const { return file_bytes_; }

  /// The bytes from header_offset() to payload_offset(). `crc32` is the payload's.
  std::string local_header(size_t entry, uint32_t crc32) const;
  /// The bytes from directory_offset() to the end of the file, given every payload's CRC-32.
  std::string directory(const std::vector<uint32_t>& crc32s) const;

 private:
  struct Place {
    int64_t header = 0;
    int64_t payload = 0;
  };
  bool is_wide(int64_t bytes) const { return bytes >= thresholds_.bytes; }
  std::string central_header(size_t entry, uint32_t crc32) const;
  std::string end_records(int64_t directory_bytes) const;

  std::vector<ZipEntryPlan> entries_;
  Zip64Thresholds thresholds_;
  std::vector<Place> places_;
  int64_t directory_offset_ = 0;
  int64_t file_bytes_ = 0;
};

}  // namespace switchyard
