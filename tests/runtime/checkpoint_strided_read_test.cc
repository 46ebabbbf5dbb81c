#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "runtime/checkpoint/strided_read.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

/// A file of the 16-bit numbers 0, 1, 2, ... behind six other bytes.
class StridedReadTest : public testing::Test {
 protected:
  static constexpr int64_t kOffset = 6;

  explicit StridedReadTest(int64_t count = 30000) {
    std::string bytes(kOffset, '.');
    for (int64_t i = 0; i < count; ++i) {
      bytes += {static_cast<char>(i & 0xFF), static_cast<char>(i >> 8)};
    }
    path_ = folder_.write("a.pt", bytes);
  }

  /// Checks elements [first, first + count) and returns the bytes that were read for them.
  int64_t check(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides,
                int64_t first, int64_t count, int64_t staging = kStridedStagingBytes) {
    const TensorEntry entry{0, kOffset, DType::kF16, shape, strides};
    std::vector<uint16_t> got(static_cast<size_t>(count));
    RandomFile file(path_);
    strided_read(file, entry, first, count, got.data(), "tensor 't'", staging);
    for (int64_t i = 0; i < count; ++i) {
      int64_t rest = first + i;
      int64_t place = 0;
      for (size_t dim = shape.size(); dim-- > 0;) {
        place += rest % shape[dim] * strides[dim];
        rest /= shape[dim];
      }
      EXPECT_EQ(got[static_cast<size_t>(i)], place) << "element " << first + i;
      if (got[static_cast<size_t>(i)] != place) break;
    }
    return file.bytes_read();
  }

  TempFolder folder_;
  std::string path_;
};

TEST_F(StridedReadTest, AnyRangeOfAnyStridesThroughAnyStaging) {
  const std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> tensors = {
      {{30, 40}, {1, 30}},
      {{30, 40}, {50, 1}},
      {{30, 40}, {80, 2}},
      {{3, 4, 5}, {1, 3, 12}},
      {{3, 4, 5}, {20, 1, 4}},
      {{4, 6}, {0, 1}},
      {{4, 6}, {1, 0}},
      {{4, 6}, {1, 1}},
      {{7}, {3}},
      {{}, {}},
      {{2, 3}, {9000, 4000}},
      {{2, 2, 3}, {12000, 6000, 1}},
      {{3, 2, 2}, {1, 12000, 6000}},
      {{40, 50}, {2, 500}},
      {{1, 6, 1}, {99, 3, 7}},
      {{5, 5}, {0, 0}},
      {{2, 2, 2, 2}, {1, 2, 4, 8}}};
  std::mt19937 random(3);
  for (const auto& [shape, strides] : tensors) {
    int64_t total = 1;
    for (const int64_t size : shape) total *= size;
    for (const int64_t staging : {2, 3, 10, 64, 1000, 1 << 20}) {
      check(shape, strides, 0, total, staging);
      for (int i = 0; i < 20; ++i) {
        const auto first = static_cast<int64_t>(random() % static_cast<uint32_t>(total));
        check(shape, strides, first, 1 + static_cast<int64_t>(random()) % (total - first), staging);
      }
    }
  }
}

TEST_F(StridedReadTest, ATransposedMatrixIsReadInBandsOnce) {
  // 200 x 100, column by column in the file: 40,000 bytes.
  EXPECT_EQ(check({200, 100}, {1, 200}, 0, 20000), 40000);
  EXPECT_EQ(check({200, 100}, {1, 200}, 0, 20000, 4096), 40000);
  // Half of the rows: the gaps between them are short, so that they are read over.
  EXPECT_EQ(check({200, 100}, {1, 200}, 0, 10000), (99 * 200 + 100) * 2);
}

TEST_F(StridedReadTest, LongGapsAreLeftOut) {
  // Three pieces of 10 elements, 20,000 bytes apart.
  EXPECT_EQ(check({3, 10}, {10000, 1}, 0, 30), 60);
  EXPECT_EQ(check({10, 3}, {1, 10000}, 0, 30), 60);
  EXPECT_EQ(check({10, 3}, {1, 10000}, 0, 6), 12);
  EXPECT_EQ(check({10, 3}, {1, 10000}, 0, 30, 44), 60);
  // Also inside a span that is no longer than the gap around it.
  EXPECT_EQ(check({2, 2, 3}, {12000, 6000, 1}, 0, 12), 24);
}

TEST_F(StridedReadTest, RowsWithShortGapsAreReadInGroups) {
  // 100 rows of 50 elements, 100 apart, through 3,000 bytes: 15 rows at a time.
  EXPECT_EQ(check({100, 50}, {100, 1}, 0, 5000, 3000), (100 * 100 - 7 * 50) * 2);
}

TEST_F(StridedReadTest, NamesWhatIsTruncated) {
  const TensorEntry entry{0, kOffset, DType::kF16, {2, 2}, {1, 40000}};
  RandomFile file(path_);
  std::vector<uint16_t> to(4);
  try {
    strided_read(file, entry, 0, 4, to.data(), "tensor 't'");
    FAIL() << "read behind the end";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("tensor 't'"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace switchyard
