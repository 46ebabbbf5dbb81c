#include "runtime/checkpoint/zip_writer.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "runtime/checkpoint/zip_reader.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

uint32_t crc_of(const std::string& text) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
}

/// An archive of these payloads, entries named r/0, r/1 and so on; `gap` wherever nothing is put.
std::string make_archive(const std::vector<std::string>& payloads, const ZipLayout& layout,
                         char gap = '?') {
  std::string bytes(static_cast<size_t>(layout.file_bytes()), gap);
  std::vector<uint32_t> crcs;
  const auto put = [&](int64_t offset, const std::string& text) {
    bytes.replace(static_cast<size_t>(offset), text.size(), text);
  };
  for (size_t i = 0; i < payloads.size(); ++i) {
    crcs.push_back(crc_of(payloads[i]));
    put(layout.header_offset(i), layout.local_header(i, crcs[i]));
    put(layout.payload_offset(i), payloads[i]);
  }
  put(layout.directory_offset(), layout.directory(crcs));
  return bytes;
}

ZipLayout layout_of(const std::vector<std::string>& payloads, const Zip64Thresholds& thresholds) {
  std::vector<ZipEntryPlan> entries;
  for (size_t i = 0; i < payloads.size(); ++i) {
    entries.push_back({"r/" + std::to_string(i), static_cast<int64_t>(payloads[i].size())});
  }
  return ZipLayout(std::move(entries), thresholds);
}

const std::vector<std::string> kPayloads = {"first", "", std::string(1000, 'x'),
                                            std::string(64, 'y'), std::string(63, '\0')};

/// Reads the archive back and compares it with what went into it.
void expect_readable(const Zip64Thresholds& thresholds) {
  const ZipLayout layout = layout_of(kPayloads, thresholds);
  const TempFolder folder;
  const std::string bytes = make_archive(kPayloads, layout);
  EXPECT_EQ(bytes, make_archive(kPayloads, layout, '!')) << "a gap between the records";
  RandomFile file(folder.write("a.zip", bytes));
  const ZipReader zip(file);
  ASSERT_EQ(zip.entries().size(), kPayloads.size());
  for (size_t i = 0; i < kPayloads.size(); ++i) {
    const ZipEntry& entry = zip.entries()[i];
    EXPECT_EQ(entry.name, "r/" + std::to_string(i));
    EXPECT_EQ(entry.offset, layout.payload_offset(i));
    EXPECT_EQ(entry.offset % 64, 0);
    EXPECT_EQ(entry.crc32, crc_of(kPayloads[i]));
    const std::vector<char> payload = zip.read(entry, 1 << 20);
    EXPECT_EQ(std::string(payload.begin(), payload.end()), kPayloads[i]);
  }
}

TEST(ZipWriterTest, WhatItWritesIsReadBack) { expect_readable({}); }

TEST(ZipWriterTest, SmallArchivesHaveNoZip64Records) {
  const std::string bytes = make_archive(kPayloads, layout_of(kPayloads, {}));
  EXPECT_EQ(bytes.find("PK\x06\x06"), std::string::npos);
  EXPECT_EQ(bytes.find("PK\x06\x07"), std::string::npos);
}

TEST(ZipWriterTest, EveryFieldIsReadBackFromItsZip64Form) {
  for (const int64_t bytes : {1, 5, 64, 65, 500, 1000, 1001}) {
    SCOPED_TRACE(bytes);
    expect_readable({.bytes = bytes});
    expect_readable({.bytes = bytes, .entries = 1});
    EXPECT_NE(make_archive(kPayloads, layout_of(kPayloads, {.bytes = bytes})).find("PK\x06\x06"),
              std::string::npos);
  }
}

TEST(ZipWriterTest, PaddingIsAnExtraFieldOfTheLocalHeader) {
  const ZipLayout layout = layout_of(kPayloads, {});
  for (size_t i = 0; i < kPayloads.size(); ++i) {
    const std::string header = layout.local_header(i, 0);
    EXPECT_EQ(static_cast<int64_t>(header.size()),
              layout.payload_offset(i) - layout.header_offset(i));
    const size_t name_end = 30 + 3;
    EXPECT_EQ(header.substr(name_end, 2), "FB");
    EXPECT_EQ(header.find_last_not_of('Z'), name_end + 3) << "the length of the padding";
  }
}

/// Real sizes around 4 GiB, in a file that is mostly a hole.
TEST(ZipWriterTest, FourGibibytesAndMore) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  const ZipLayout layout({{"r/small", 100},
                          {"r/just_below", 4 * kGiB - 2},
                          {"r/just_at", 4 * kGiB - 1},
                          {"r/above", 5 * kGiB},
                          {"r/last", 10}});
  const TempFolder folder;
  const std::string path = folder.write("big.zip", "");
  std::filesystem::resize_file(path, static_cast<uintmax_t>(layout.file_bytes()));
  const std::vector<uint32_t> crcs = {1, 2, 3, 4, 5};
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  for (size_t i = 0; i < crcs.size(); ++i) {
    out.seekp(layout.header_offset(i));
    out << layout.local_header(i, crcs[i]);
  }
  out.seekp(layout.directory_offset());
  out << layout.directory(crcs) << std::flush;
  ASSERT_TRUE(out);
  RandomFile file(path);
  const ZipReader zip(file);
  for (size_t i = 0; i < crcs.size(); ++i) {
    EXPECT_EQ(zip.entries()[i].size, layout.entries()[i].size);
    EXPECT_EQ(zip.entries()[i].offset, layout.payload_offset(i));
    EXPECT_EQ(zip.entries()[i].crc32, crcs[i]);
    // A size in 64 bits adds 20 bytes to the local header; only those who need it have it.
    const bool wide = layout.local_header(i, 0).find(std::string("\x01\0\x10\0", 4)) ==
                      30 + layout.entries()[i].name.size();
    EXPECT_EQ(wide, layout.entries()[i].size >= 0xFFFFFFFF) << i;
  }
}

TEST(ZipWriterTest, MoreEntriesThan16BitsCount) {
  for (const size_t count : {size_t{65534}, size_t{65535}, size_t{65537}}) {
    const std::vector<std::string> payloads(count);
    const ZipLayout layout = layout_of(payloads, {});
    const std::string bytes = make_archive(payloads, layout);
    EXPECT_EQ(bytes.find("PK\x06\x06") != std::string::npos, count >= 65535) << count;
    const TempFolder folder;
    RandomFile file(folder.write("many.zip", bytes));
    EXPECT_EQ(ZipReader(file).entries().size(), count);
  }
}

}  // namespace
}  // namespace switchyard
