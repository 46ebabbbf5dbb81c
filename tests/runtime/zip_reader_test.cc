#include "runtime/checkpoint/zip_reader.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "tests/runtime/temp_folder.h"
#include "tests/runtime/torch_writer.h"

namespace switchyard {
namespace {

class ZipReaderTest : public testing::Test {
 protected:
  /// The error of opening these bytes as an archive.
  std::string error(const std::string& bytes) {
    const std::string path = folder_.write("a.pt", bytes);
    const std::string message = error_of([&] {
      RandomFile file(path);
      ZipReader zip(file);
    });
    if (!message.empty()) {
      EXPECT_NE(message.find(path), std::string::npos) << message;
    }
    return message;
  }

  void expect_refused(const std::string& bytes, const std::string& why) {
    const std::string message = error(bytes);
    EXPECT_NE(message.find(why), std::string::npos) << "got: '" << message << "'";
  }

  TempFolder folder_;
};

TEST_F(ZipReaderTest, FindsPayloadsByTheLocalHeader) {
  for (const ZipFormat format : {ZipFormat::kPlain, ZipFormat::kZip64}) {
    for (const size_t comment : {0, 1, 65535}) {
      const std::string path = folder_.write(
          "a.pt", write_zip({{"r/x", "hello"}, {"r/empty", ""}, {"r/y", std::string(300, 'y')}},
                            format, std::string(comment, 'c')));
      RandomFile file(path);
      const ZipReader zip(file);
      ASSERT_EQ(zip.entries().size(), 3u);
      EXPECT_EQ(zip.entries()[0].name, "r/x");
      // 30 bytes of header, 3 of the name, 9 of the local extra field.
      EXPECT_EQ(zip.entries()[0].offset, 42);
      EXPECT_EQ(zip.entries()[0].size, 5);
      EXPECT_EQ(zip.entries()[0].crc32, 0x3610A686u);
      EXPECT_EQ(zip.find("r/empty")->size, 0);
      EXPECT_EQ(zip.find("r/none"), nullptr);
      const std::vector<char> payload = zip.read(*zip.find("r/y"), 300);
      EXPECT_EQ(std::string(payload.begin(), payload.end()), std::string(300, 'y'));
    }
  }
}

TEST_F(ZipReaderTest, ReadsNoPayloadUnasked) {
  const std::string path =
      folder_.write("a.pt", write_zip({{"r/x", std::string(1 << 20, 'x')}, {"r/y", "y"}}));
  RandomFile file(path);
  const ZipReader zip(file);
  EXPECT_LT(file.bytes_read(), 5000);  // at most 4 KiB of the end, directory, two local headers
  EXPECT_EQ(file.size(), static_cast<int64_t>(folder_.read("a.pt").size()));
}

TEST_F(ZipReaderTest, ChecksLimitAndChecksumOfAPayload) {
  std::string bytes = write_zip({{"r/x", "hello"}});
  bytes[43] ^= 1;
  RandomFile file(folder_.write("a.pt", bytes));
  const ZipReader zip(file);
  const ZipEntry& entry = zip.entries()[0];
  EXPECT_NE(error_of([&] { zip.read(entry, 5); }).find("checksum"), std::string::npos);
  EXPECT_NE(error_of([&] { zip.read(entry, 4); }).find("at most 4"), std::string::npos);
}

TEST_F(ZipReaderTest, EveryTruncationIsRefused) {
  for (const ZipFormat format : {ZipFormat::kPlain, ZipFormat::kZip64}) {
    const std::string bytes = write_zip({{"r/x", "hello"}, {"r/y", "you"}}, format);
    for (size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_NE(error(bytes.substr(0, length)), "") << length;
    }
    EXPECT_NE(error("x" + bytes), "");
    EXPECT_NE(error(bytes + "x"), "");
  }
}

TEST_F(ZipReaderTest, RefusesWhatIsNotStored) {
  expect_refused(write_zip({{"r/x", "hello", 8}}), "'r/x' is compressed (method 8)");
  expect_refused(write_zip({{"r/x", "hello", 0, 1}}), "encrypted");
  expect_refused(write_zip({{"r/x", "hello", 0, 1 << 6}}), "encrypted");
  expect_refused(write_zip({{"r/x", "hello", 0, 1 << 13}}), "encrypted");
}

TEST_F(ZipReaderTest, RefusesNamesThatLeaveTheArchive) {
  for (const char* name : {"/r/x", "../x", "r/../x", "r/..", "..", "r\\x", ""}) {
    expect_refused(write_zip({{name, "hello"}}), "no plain relative name");
  }
  EXPECT_EQ(error(write_zip({{"r/..x/x..", "hello"}, {"r/...", ""}})), "");
}

TEST_F(ZipReaderTest, RefusesEntriesThatAreNotTheirOwnRange) {
  expect_refused(write_zip({{"r/x", "hello"}, {"r/x", "you"}}), "twice");
  ZipItem renamed{"r/x", "hello"};
  renamed.local_name = "r/z";
  expect_refused(write_zip({renamed}), "local header");
  ZipItem longer{"r/x", "hello"};
  longer.declared_size = 6;
  expect_refused(write_zip({longer, {"r/y", "you"}}), "overlaps entry 'r/y'");
  expect_refused(write_zip({{"r/y", "you"}, longer}), "overlaps the directory");
  longer.declared_size = 1 << 20;
  expect_refused(write_zip({longer}), "outside the file");
  longer.declared_size = std::numeric_limits<int64_t>::max();
  expect_refused(write_zip({longer}, ZipFormat::kZip64), "outside the file");
  ZipItem elsewhere{"r/x", "hello"};
  elsewhere.declared_header = 1 << 30;
  expect_refused(write_zip({elsewhere}), "starts outside");
  elsewhere.declared_header = -2;
  expect_refused(write_zip({{"r/w", "w"}, {"r/x", "hello", 0, 0, "", -1, 0}}), "local header");
}

TEST_F(ZipReaderTest, RefusesHugeCountsBeforeAllocating) {
  std::string bytes = write_zip({{"r/x", "hello"}}, ZipFormat::kZip64);
  const size_t record = bytes.find("PK\x06\x06");
  bytes.replace(record + 32, 8, little_endian<int64_t>(int64_t{1} << 40));
  expect_refused(bytes, "1099511627776 entries");
  bytes.replace(record + 32, 8, little_endian<int64_t>(-1));
  expect_refused(bytes, "negative");
  bytes.replace(record + 32, 8, little_endian<int64_t>(2));
  expect_refused(bytes, "there is no entry");
  bytes.replace(record + 32, 8, little_endian<int64_t>(0));
  expect_refused(bytes, "longer than the entries");
  bytes.replace(record + 40, 8, little_endian<int64_t>(int64_t{1} << 62));
  expect_refused(bytes, "does not end");
}

TEST_F(ZipReaderTest, RefusesAFolder) {
  EXPECT_NE(error_of([&] { RandomFile file(folder_.path("")); }).find("regular"),
            std::string::npos);
  EXPECT_NE(error_of([&] { RandomFile file(folder_.path("none")); }).find("opened"),
            std::string::npos);
}

}  // namespace
}  // namespace switchyard
