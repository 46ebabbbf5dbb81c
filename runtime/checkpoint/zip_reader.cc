#include "runtime/checkpoint/zip_reader.h"

#include <zlib.h>

#include <algorithm>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

// Sizes and signatures of the records of the zip format (APPNOTE 6.3, 4.3.7 to 4.3.16).
constexpr uint32_t kLocalSignature = 0x04034B50;
constexpr uint32_t kCentralSignature = 0x02014B50;
constexpr uint32_t kEndSignature = 0x06054B50;
constexpr uint32_t kEnd64Signature = 0x06064B50;
constexpr uint32_t kLocator64Signature = 0x07064B50;
constexpr int64_t kLocalBytes = 30;
constexpr int64_t kCentralBytes = 46;
constexpr int64_t kEndBytes = 22;
constexpr int64_t kEnd64Bytes = 56;
constexpr int64_t kLocator64Bytes = 20;
constexpr int64_t kLongestComment = 65535;
constexpr uint16_t kZip64Extra = 0x0001;
/// Flag bits that mean encryption: traditional, strong, masked headers.
constexpr uint16_t kEncryptedFlags = 1u << 0 | 1u << 6 | 1u << 13;
constexpr uint32_t kIn64 = 0xFFFFFFFF;
constexpr uint16_t kCountIn64 = 0xFFFF;

/// A million tensors at about 130 bytes each; real checkpoints have below 40,000.
constexpr int64_t kMaxEntries = int64_t{1} << 20;
constexpr int64_t kMaxDirectoryBytes = int64_t{1} << 28;

}  // namespace

struct ZipReader::CentralEntry {
  std::string name;
  uint16_t flags = 0;
  uint16_t method = 0;
  uint32_t crc32 = 0;
  uint64_t stored_size = 0;
  uint64_t size = 0;
  uint64_t header = 0;  // offset of the local header
  int64_t payload_end = 0;
};

ZipReader::ZipReader(RandomFile& file) : file_(file) {
  const Directory directory = find_directory();
  if (directory.num_entries > kMaxEntries || directory.size > kMaxDirectoryBytes) {
    fail(concat("its directory declares ", directory.num_entries, " entries in ", directory.size,
                " bytes; at most ", kMaxEntries, " in ", kMaxDirectoryBytes, " are read"));
  }
  std::vector<char> bytes(static_cast<size_t>(directory.size));
  file_.read_at(directory.offset, directory.size, bytes.data(), "the zip directory");
  std::vector<CentralEntry> centrals;
  size_t cursor = 0;
  for (int64_t i = 0; i < directory.num_entries; ++i) {
    centrals.push_back(parse_central(bytes, cursor));
  }
  if (cursor != bytes.size()) fail("its directory is longer than the entries it counts");
  for (CentralEntry& central : centrals) {
    add(central);
    central.payload_end = entries_.back().offset + entries_.back().size;
  }
  check_ranges(centrals, directory.offset);
}

void ZipReader::fail(const std::string& problem) const {
  fail_input(file_.path(), ": not a readable zip archive: ", problem,
             ". Fetch or save the checkpoint again");
}

ZipReader::Directory ZipReader::find_directory() {
  const int64_t tail = std::min(file_.size(), kEndBytes + kLongestComment);
  // Most archives have no comment: 4 KiB hold both end records, the rest is read only if needed.
  for (const int64_t length : {std::min<int64_t>(tail, 4096), tail}) {
    if (length < kEndBytes) break;
    std::vector<char> bytes(static_cast<size_t>(length));
    const int64_t start = file_.size() - length;
    file_.read_at(start, length, bytes.data(), "the end of the zip archive");
    for (int64_t at = length - kEndBytes; at >= 0; --at) {
      const char* record = bytes.data() + at;
      if (load_little_endian<uint32_t>(record) != kEndSignature) continue;
      if (load_little_endian<uint16_t>(record + 20) != length - at - kEndBytes) continue;
      Directory directory;
      if (load_little_endian<uint16_t>(record + 4) != 0 ||
          load_little_endian<uint16_t>(record + 6) != 0) {
        fail("it is one part of an archive of several disks");
      }
      directory.num_entries = load_little_endian<uint16_t>(record + 10);
      directory.size = load_little_endian<uint32_t>(record + 12);
      directory.offset = load_little_endian<uint32_t>(record + 16);
      directory.end = start + at;
      apply_zip64(start + at, directory);
      if (directory.size < 0 || directory.offset < 0 || directory.offset > directory.end ||
          directory.end - directory.offset != directory.size) {
        fail(concat("its directory (", directory.size, " bytes at ", directory.offset,
                    ") does not end where the end record starts, at byte ", directory.end));
      }
      return directory;
    }
  }
  fail(concat("it has no end-of-directory record in its ", file_.size(),
              " bytes; the file is truncated"));
}

void ZipReader::apply_zip64(int64_t end_record, Directory& directory) {
  const bool needed =
      directory.num_entries == kCountIn64 || directory.size == kIn64 || directory.offset == kIn64;
  const int64_t locator_at = end_record - kLocator64Bytes;
  char locator[kLocator64Bytes] = {};
  if (locator_at >= 0) file_.read_at(locator_at, kLocator64Bytes, locator, "the zip64 locator");
  if (load_little_endian<uint32_t>(locator) != kLocator64Signature) {
    if (needed) fail("its zip64 end record is missing");
    return;
  }
  const auto at = load_little_endian<uint64_t>(locator + 8);
  if (locator_at < kEnd64Bytes || at > static_cast<uint64_t>(locator_at - kEnd64Bytes)) {
    fail(concat("its zip64 end record lies outside the file, at byte ", at));
  }
  char record[kEnd64Bytes];
  file_.read_at(static_cast<int64_t>(at), kEnd64Bytes, record, "the zip64 end record");
  if (load_little_endian<uint32_t>(record) != kEnd64Signature) {
    fail(concat("there is no zip64 end record at byte ", at));
  }
  directory.num_entries = load_little_endian<int64_t>(record + 32);
  directory.size = load_little_endian<int64_t>(record + 40);
  directory.offset = load_little_endian<int64_t>(record + 48);
  directory.end = static_cast<int64_t>(at);
  if (directory.num_entries < 0) fail("its zip64 end record declares a negative count");
}

ZipReader::CentralEntry ZipReader::parse_central(const std::vector<char>& bytes,
                                                 size_t& cursor) const {
  const size_t left = bytes.size() - cursor;
  const char* record = bytes.data() + cursor;
  if (left < kCentralBytes || load_little_endian<uint32_t>(record) != kCentralSignature) {
    fail(concat("byte ", cursor, " of its directory: there is no entry"));
  }
  const size_t name_bytes = load_little_endian<uint16_t>(record + 28);
  const size_t extra_bytes = load_little_endian<uint16_t>(record + 30);
  const size_t total =
      kCentralBytes + name_bytes + extra_bytes + load_little_endian<uint16_t>(record + 32);
  if (total > left) fail(concat("byte ", cursor, " of its directory: the entry is cut off"));
  CentralEntry entry;
  entry.flags = load_little_endian<uint16_t>(record + 8);
  entry.method = load_little_endian<uint16_t>(record + 10);
  entry.crc32 = load_little_endian<uint32_t>(record + 16);
  entry.stored_size = load_little_endian<uint32_t>(record + 20);
  entry.size = load_little_endian<uint32_t>(record + 24);
  entry.header = load_little_endian<uint32_t>(record + 42);
  entry.name.assign(record + kCentralBytes, name_bytes);
  apply_zip64({record + kCentralBytes + name_bytes, extra_bytes}, entry);
  cursor += total;
  return entry;
}

void ZipReader::apply_zip64(std::string_view extra, CentralEntry& entry) const {
  std::vector<uint64_t*> fields;  // those in the extra field, in its order
  for (uint64_t* field : {&entry.size, &entry.stored_size, &entry.header}) {
    if (*field == kIn64) fields.push_back(field);
  }
  if (fields.empty()) return;
  while (extra.size() >= 4) {
    const auto id = load_little_endian<uint16_t>(extra.data());
    const size_t length = load_little_endian<uint16_t>(extra.data() + 2);
    if (length > extra.size() - 4) break;
    if (id == kZip64Extra) {
      if (length < 8 * fields.size()) break;
      for (size_t i = 0; i < fields.size(); ++i) {
        *fields[i] = load_little_endian<uint64_t>(extra.data() + 4 + 8 * i);
      }
      return;
    }
    extra.remove_prefix(4 + length);
  }
  fail(concat("entry '", printable(entry.name), "' lacks its zip64 sizes"));
}

void ZipReader::check_name(const std::string& name) const {
  bool bad = name.empty() || name.front() == '/' || name.find('\\') != std::string::npos ||
             name.find('\0') != std::string::npos;
  for (size_t start = 0; start <= name.size() && !bad;) {
    const size_t end = std::min(name.find('/', start), name.size());
    bad = name.compare(start, end - start, "..") == 0;
    start = end + 1;
  }
  if (bad) fail(concat("entry name '", printable(name), "' is no plain relative name"));
}

void ZipReader::add(const CentralEntry& central) {
  check_name(central.name);
  const std::string entry_name = concat("entry '", printable(central.name), "'");
  if ((central.flags & kEncryptedFlags) != 0) fail(concat(entry_name, " is encrypted"));
  if (central.method != 0 || central.stored_size != central.size) {
    fail(concat(entry_name, " is compressed (method ", central.method,
                "); entries of a checkpoint are stored as they are"));
  }
  const auto file_size = static_cast<uint64_t>(file_.size());
  const uint64_t fixed = static_cast<uint64_t>(kLocalBytes) + central.name.size();
  if (central.header > file_size || fixed > file_size - central.header) {
    fail(concat(entry_name, " starts outside the file, at byte ", central.header));
  }
  std::vector<char> local(fixed);
  file_.read_at(static_cast<int64_t>(central.header), static_cast<int64_t>(fixed), local.data(),
                entry_name);
  if (load_little_endian<uint32_t>(local.data()) != kLocalSignature ||
      load_little_endian<uint16_t>(local.data() + 26) != central.name.size() ||
      central.name.compare(0, std::string::npos, local.data() + kLocalBytes, central.name.size()) !=
          0) {
    fail(concat("the local header at byte ", central.header, " is not that of ", entry_name));
  }
  if (load_little_endian<uint16_t>(local.data() + 8) != 0 ||
      (load_little_endian<uint16_t>(local.data() + 6) & kEncryptedFlags) != 0) {
    fail(concat("the local header of ", entry_name, " says compressed or encrypted"));
  }
  const uint64_t start = central.header + fixed + load_little_endian<uint16_t>(local.data() + 28);
  if (start > file_size || central.size > file_size - start) {
    fail(concat(entry_name, " (", central.size, " bytes at ", start, ") ends outside the file of ",
                file_size, " bytes"));
  }
  if (!by_name_.emplace(central.name, entries_.size()).second) {
    fail(concat(entry_name, " stands there twice"));
  }
  entries_.push_back({central.name, static_cast<int64_t>(start), static_cast<int64_t>(central.size),
                      central.crc32});
}

void ZipReader::check_ranges(const std::vector<CentralEntry>& centrals,
                             int64_t directory_offset) const {
  std::vector<const CentralEntry*> order;
  for (const CentralEntry& central : centrals) order.push_back(&central);
  std::sort(order.begin(), order.end(),
            [](const CentralEntry* a, const CentralEntry* b) { return a->header < b->header; });
  for (size_t i = 0; i < order.size(); ++i) {
    const int64_t limit =
        i + 1 < order.size() ? static_cast<int64_t>(order[i + 1]->header) : directory_offset;
    if (order[i]->payload_end > limit) {
      fail(concat("entry '", printable(order[i]->name), "' overlaps ",
                  i + 1 < order.size() ? concat("entry '", printable(order[i + 1]->name), "'")
                                       : std::string("the directory")));
    }
  }
}

const ZipEntry* ZipReader::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

std::vector<char> ZipReader::read(const ZipEntry& entry, int64_t limit) const {
  const std::string what = concat("entry '", printable(entry.name), "'");
  if (entry.size > limit) {
    fail_input(file_.path(), ": ", what, " has ", entry.size, " bytes; at most ", limit,
               " are read");
  }
  std::vector<char> bytes(static_cast<size_t>(entry.size));
  file_.read_at(entry.offset, entry.size, bytes.data(), what);
  if (entry.crc32 != 0) {
    const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
    if (crc32_z(0, data, bytes.size()) != entry.crc32) {
      fail(concat(what, " does not match its checksum; the file is damaged"));
    }
  }
  return bytes;
}

}  // namespace switchyard
