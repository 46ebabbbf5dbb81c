#include "runtime/checkpoint/random_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/aligned_buffer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

/// Bytes that differ at every offset a test could confuse.
std::string pattern(int64_t bytes) {
  std::string text(static_cast<size_t>(bytes), '\0');
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>((i * 2654435761u) >> 13);
  }
  return text;
}

/// Reads into memory whose address has the given remainder of a block; guards stand around it.
std::string read_to(RandomFile& file, int64_t offset, int64_t bytes, int64_t remainder) {
  constexpr int64_t kGuard = 64;
  const AlignedBuffer memory(int64_t{4} << 20);  // aligned to far more than a block
  char* base = memory.as<char>() + kDirectBlock + remainder;
  std::memset(memory.data(), '#', static_cast<size_t>(memory.bytes()));
  file.read_at(offset, bytes, base, "the bytes");
  for (int64_t i = 1; i <= kGuard; ++i) {
    EXPECT_EQ(base[-i], '#') << "before the memory";
    EXPECT_EQ(base[bytes + i - 1], '#') << "behind the memory";
  }
  return std::string(base, static_cast<size_t>(bytes));
}

/// On a disk's file system and on one in memory, which may not know direct reads.
class DirectReadTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::filesystem::path parent = GetParam();
    if (access(parent.c_str(), W_OK) != 0) GTEST_SKIP() << parent << " cannot be written to";
    folder_.emplace(parent);
    path_ = folder_->path("file");
  }
  void write(const std::string& bytes) const { folder_->write("file", bytes); }

  std::optional<TempFolder> folder_;
  std::string path_;
};

TEST_P(DirectReadTest, AnyOffsetLengthAndAddress) {
  const std::string bytes = pattern(5 * kDirectBlock + 777);
  write(bytes);
  RandomFile file(path_, FileCaching::kDirect);
  int64_t total = 0;
  for (const int64_t offset : {int64_t{0}, int64_t{1}, int64_t{512}, kDirectBlock - 1, kDirectBlock,
                               kDirectBlock + 1, 2 * kDirectBlock}) {
    for (const int64_t length :
         {int64_t{0}, int64_t{1}, int64_t{511}, kDirectBlock - 1, kDirectBlock, kDirectBlock + 1,
          2 * kDirectBlock, 3 * kDirectBlock + 5, file.size() - offset}) {
      if (offset + length > file.size()) continue;
      for (const int64_t remainder : {int64_t{0}, int64_t{1}, int64_t{64}, int64_t{512},
                                      offset % kDirectBlock, kDirectBlock - 1}) {
        EXPECT_EQ(read_to(file, offset, length, remainder),
                  bytes.substr(static_cast<size_t>(offset), static_cast<size_t>(length)))
            << offset << " " << length << " " << remainder;
        total += length;
      }
    }
  }
  EXPECT_EQ(file.bytes_read(), total);
}

TEST_P(DirectReadTest, ReadsThatAreLargerThanTheBuffer) {
  const int64_t size = RandomFile::kBounceBytes + 3 * kDirectBlock + 99;
  const std::string bytes = pattern(size);
  write(bytes);
  RandomFile file(path_, FileCaching::kDirect);
  for (const int64_t offset : {int64_t{0}, int64_t{5}, kDirectBlock}) {
    for (const int64_t remainder : {int64_t{0}, int64_t{5}, int64_t{16}}) {
      EXPECT_EQ(read_to(file, offset, size - offset, remainder),
                bytes.substr(static_cast<size_t>(offset)))
          << offset << " " << remainder;
    }
  }
}

TEST_P(DirectReadTest, BytesBehindTheEndAreAnError) {
  write(pattern(kDirectBlock + 100));
  RandomFile file(path_, FileCaching::kDirect);
  std::vector<char> to(4 * kDirectBlock);
  expect_error(ErrorKind::kInput, {path_, "no byte 4196", "tensor t", "truncated"},
               [&] { file.read_at(kDirectBlock, 101, to.data(), "tensor t"); });
  expect_error(ErrorKind::kInput, {path_, "no byte 12288"},
               [&] { file.read_at(3 * kDirectBlock, 1, to.data(), "tensor t"); });
}

TEST_P(DirectReadTest, AFileThatWasCutShortIsAnError) {
  write(pattern(3 * kDirectBlock));
  RandomFile file(path_, FileCaching::kDirect);
  ASSERT_EQ(truncate(path_.c_str(), kDirectBlock + 10), 0);
  expect_error(ErrorKind::kInput, {path_, "no byte 4106", "12288 bytes from byte 0"},
               [&] { read_to(file, 0, 3 * kDirectBlock, 0); });
}

TEST_P(DirectReadTest, IdentityIsThatOfCachedReads) {
  for (const int64_t size : {int64_t{0}, int64_t{10}, int64_t{70'000}, int64_t{65'536}}) {
    write(pattern(size));
    RandomFile direct(path_, FileCaching::kDirect);
    EXPECT_EQ(direct.identity(), RandomFile(path_).identity()) << size;
    EXPECT_EQ(direct.bytes_read(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(FileSystems, DirectReadTest, testing::Values("/tmp", "/dev/shm"),
                         [](const auto& each) {
                           return each.param == std::string("/tmp") ? "Disk" : "Memory";
                         });

}  // namespace
}  // namespace switchyard
