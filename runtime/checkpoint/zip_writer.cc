#include "runtime/checkpoint/zip_writer.h"

#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/little_endian.h"

namespace switchyard {
namespace {

// Records of the zip format (APPNOTE 6.3, 4.3.7 to 4.3.16).
constexpr int64_t kLocalBytes = 30;
constexpr int64_t kExtraHeaderBytes = 4;  // id and length of an extra field
constexpr int64_t kLocal64Bytes = kExtraHeaderBytes + 16;
constexpr uint16_t kVersionStored = 20;
constexpr uint16_t kVersionZip64 = 45;
/// The first day the format has; no clock is read, so that equal contents are equal files.
constexpr uint16_t kDate = 1 << 5 | 1;  // 1980-01-01

void put16(uint16_t value, std::string& bytes) { append_little_endian(value, bytes); }
void put32(uint32_t value, std::string& bytes) { append_little_endian(value, bytes); }
void put64(int64_t value, std::string& bytes) { append_little_endian(value, bytes); }

/// Version, flags, method, time, date and checksum: what local and central headers share.
void put_common(uint16_t version, uint32_t crc32, std::string& bytes) {
  put16(version, bytes);
  put16(0, bytes);  // flags
  put16(0, bytes);  // method: stored
  put16(0, bytes);  // time
  put16(kDate, bytes);
  put32(crc32, bytes);
}

}  // namespace

ZipLayout::ZipLayout(std::vector<ZipEntryPlan> entries, const Zip64Thresholds& thresholds)
    : entries_(std::move(entries)), thresholds_(thresholds) {
  int64_t offset = 0;
  for (const ZipEntryPlan& entry : entries_) {
    SWITCHYARD_CHECK(entry.size >= 0 && entry.name.size() < 0xFFFF, entry.name);
    int64_t payload = offset + kLocalBytes + static_cast<int64_t>(entry.name.size()) +
                      (is_wide(entry.size) ? kLocal64Bytes : 0) + kExtraHeaderBytes;
    payload += (kAlignment - payload % kAlignment) % kAlignment;
    places_.push_back({offset, payload});
    offset = payload + entry.size;
  }
  directory_offset_ = offset;
  file_bytes_ =
      offset + static_cast<int64_t>(directory(std::vector<uint32_t>(entries_.size())).size());
}

std::string ZipLayout::local_header(size_t entry, uint32_t crc32) const {
  const auto& [name, size] = entries_[entry];
  const bool wide = is_wide(size);
  const int64_t padding = places_[entry].payload - places_[entry].header - kLocalBytes -
                          static_cast<int64_t>(name.size()) - (wide ? kLocal64Bytes : 0) -
                          kExtraHeaderBytes;
  std::string bytes = "PK\x03\x04";
  put_common(wide ? kVersionZip64 : kVersionStored, crc32, bytes);
  const uint32_t short_size = wide ? 0xFFFFFFFF : static_cast<uint32_t>(size);
  put32(short_size, bytes);
  put32(short_size, bytes);
  put16(static_cast<uint16_t>(name.size()), bytes);
  put16(static_cast<uint16_t>((wide ? kLocal64Bytes : 0) + kExtraHeaderBytes + padding), bytes);
  bytes += name;
  if (wide) {
    put16(1, bytes);
    put16(16, bytes);
    put64(size, bytes);
    put64(size, bytes);
  }
  bytes += "FB";
  put16(static_cast<uint16_t>(padding), bytes);
  return bytes + std::string(static_cast<size_t>(padding), 'Z');
}

std::string ZipLayout::central_header(size_t entry, uint32_t crc32) const {
  const auto& [name, size] = entries_[entry];
  const int64_t header = places_[entry].header;
  std::string wide_fields;  // in the order of the format
  if (is_wide(size)) {
    put64(size, wide_fields);
    put64(size, wide_fields);
  }
  if (is_wide(header)) put64(header, wide_fields);
  const bool wide = !wide_fields.empty();
  const auto short_form = [&](int64_t value) {
    return is_wide(value) ? 0xFFFFFFFF : static_cast<uint32_t>(value);
  };
  std::string bytes = "PK\x01\x02";
  const uint16_t version = wide ? kVersionZip64 : kVersionStored;
  put16(version, bytes);  // made by
  put_common(version, crc32, bytes);
  put32(short_form(size), bytes);
  put32(short_form(size), bytes);
  put16(static_cast<uint16_t>(name.size()), bytes);
  put16(static_cast<uint16_t>(wide ? kExtraHeaderBytes + wide_fields.size() : 0), bytes);
  bytes += std::string(10, '\0');  // no comment, disk 0, attributes
  put32(short_form(header), bytes);
  bytes += name;
  if (wide) {
    put16(1, bytes);
    put16(static_cast<uint16_t>(wide_fields.size()), bytes);
    bytes += wide_fields;
  }
  return bytes;
}

std::string ZipLayout::directory(const std::vector<uint32_t>& crc32s) const {
  SWITCHYARD_CHECK(crc32s.size() == entries_.size());
  std::string bytes;
  for (size_t i = 0; i < entries_.size(); ++i) bytes += central_header(i, crc32s[i]);
  return bytes + end_records(static_cast<int64_t>(bytes.size()));
}

std::string ZipLayout::end_records(int64_t directory_bytes) const {
  const auto count = static_cast<int64_t>(entries_.size());
  std::string bytes;
  if (count >= thresholds_.entries || is_wide(directory_bytes) || is_wide(directory_offset_)) {
    bytes += "PK\x06\x06";
    put64(44, bytes);  // bytes of this record that follow
    put16(kVersionZip64, bytes);
    put16(kVersionZip64, bytes);
    put32(0, bytes);  // disks
    put32(0, bytes);
    put64(count, bytes);
    put64(count, bytes);
    put64(directory_bytes, bytes);
    put64(directory_offset_, bytes);
    bytes += "PK\x06\x07";
    put32(0, bytes);
    put64(directory_offset_ + directory_bytes, bytes);
    put32(1, bytes);
  }
  const auto short_count = static_cast<uint16_t>(count >= thresholds_.entries ? 0xFFFF : count);
  bytes += "PK\x05\x06";
  put32(0, bytes);  // disks
  put16(short_count, bytes);
  put16(short_count, bytes);
  for (const int64_t value : {directory_bytes, directory_offset_}) {
    put32(is_wide(value) ? 0xFFFFFFFF : static_cast<uint32_t>(value), bytes);
  }
  put16(0, bytes);  // no comment
  return bytes;
}

}  // namespace switchyard
