// The directory of a zip archive whose entries are stored uncompressed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/checkpoint/random_file.h"

namespace switchyard {

struct ZipEntry {
  std::string name;
  int64_t offset = 0;  // of the payload, in bytes from the start of the file
  int64_t size = 0;    // of the payload, in bytes
  uint32_t crc32 = 0;  // as the archive says; 0 where its writer did not compute it
};

/// Reads an archive's central directory (zip64 included) and its local headers, never payloads
/// unless asked. Every entry is proven to be a byte range of its own inside the file.
class ZipReader {
 public:
  /// Throws Error(kInput) naming the file and the entry for anything that is not a complete archive
  /// of stored, unencrypted entries with distinct relative names. `file` must outlive the reader.
  explicit ZipReader(RandomFile& file);

  /// In the order of the central directory.
  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// nullptr if there is none of that name.
  const ZipEntry* find(const std::string& name) const;
  /// The payload, checked against its CRC-32. Throws Error(kInput) if it is longer than `limit`
  /// bytes or damaged.
  std::vector<char> read(const ZipEntry& entry, int64_t limit) const;

 private:
  struct Directory {
    int64_t offset = 0;
    int64_t size = 0;
    int64_t num_entries = 0;
    int64_t end = 0;  // where the records that describe the directory start
  };
  struct CentralEntry;

  Directory find_directory();
  void apply_zip64(int64_t end_record, Directory& directory);
  CentralEntry parse_central(const std::vector<char>& bytes, size_t& cursor) const;
  void apply_zip64(std::string_view extra, CentralEntry& entry) const;
  void check_name(const std::string& name) const;
  void add(const CentralEntry& central);
  void check_ranges(const std::vector<CentralEntry>& centrals, int64_t directory_offset) const;
  [[noreturn]] void fail(const std::string& problem) const;

  RandomFile& file_;
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string, size_t> by_name_;
};

}  // namespace switchyard
