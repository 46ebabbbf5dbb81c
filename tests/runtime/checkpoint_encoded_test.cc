// Tensors that are encoded, made of others, or both.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/given_codes.h"
#include "runtime/checkpoint/random_file.h"
#include "tests/kernels/given_codes_case.h"
#include "tests/runtime/safetensors_case.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

class EncodedTest : public testing::Test {
 protected:
  /// Adds a file with `front` other bytes before the given ones; returns its number.
  int32_t add_file(const std::string& bytes, int64_t front = 3) {
    const std::string name = concat("f", index_.files.size());
    const std::string path =
        folder_.write(name, std::string(static_cast<size_t>(front), '.') + bytes);
    index_.files.push_back({path, 0, RandomFile(path).identity()});
    return static_cast<int32_t>(index_.files.size() - 1);
  }

  TensorEntry add_plain(const std::string& bytes, DType dtype, std::vector<int64_t> shape) {
    const int32_t file = add_file(bytes);
    const std::vector<int64_t> strides = row_major_strides(shape);
    return {file, 3, dtype, std::move(shape), strides};
  }

  /// The elements in fp32, read at once.
  std::vector<float> read(const TensorEntry& entry, int64_t first, int64_t count) {
    TensorReader reader(index_);
    std::string raw(static_cast<size_t>(count * size_of(entry.dtype)), '?');
    reader.read("t", entry, first, count, raw.data());
    bytes_read_ = reader.bytes_read();
    std::vector<float> values(static_cast<size_t>(count));
    convert_elements(entry.dtype, raw.data(), DType::kF32, values.data(), count);
    return values;
  }
  std::vector<float> read(const TensorEntry& entry) { return read(entry, 0, entry.num_elements()); }

  /// Expects any range of the entry, and of its rows, to hold these elements.
  void expect(const TensorEntry& entry, const std::vector<float>& expected) {
    ASSERT_EQ(static_cast<size_t>(entry.num_elements()), expected.size());
    expect_range(entry, 0, entry.num_elements(), expected);
    for (int i = 0; i < 60; ++i) {
      const auto total = static_cast<uint32_t>(expected.size());
      const auto first = static_cast<int64_t>(random_() % total);
      const int64_t count = 1 + static_cast<int64_t>(random_()) % (total - first);
      expect_range(entry, first, count, expected);
    }
    const int64_t rows = entry.shape[0];
    const int64_t cols = entry.num_elements() / rows;
    if (given_codes(entry).is_given()) expect_codes(entry, expected);
    for (int64_t first = 0; first < rows; first += 1 + rows / 7) {
      const int64_t count = 1 + static_cast<int64_t>(random_()) % (rows - first);
      const TensorEntry part = rows_of(entry, first, count);
      EXPECT_EQ(part.shape[0], count);
      const auto begin = expected.begin() + first * cols;
      expect_range(part, 0, count * cols, {begin, begin + count * cols});
      const TensorEntry last = rows_of(part, count - 1, 1);
      expect_range(last, 0, cols, {begin + (count - 1) * cols, begin + count * cols});
    }
  }

  /// Expects any rows' codes to stand for these elements.
  void expect_codes(const TensorEntry& entry, const std::vector<float>& expected) {
    for (int64_t first = 0; first < entry.shape[0]; first += 1 + entry.shape[0] / 7) {
      const int64_t count = 1 + static_cast<int64_t>(random_()) % (entry.shape[0] - first);
      WeightSpec spec = code_rows(entry);
      spec.rows = count;
      std::vector<char> rows(static_cast<size_t>(spec.source_bytes()), '?');
      TensorReader(index_).read_codes("t", entry, first, count, rows.data());
      expect_same(GivenCodes(spec, rows).numbers(), first * spec.cols, expected);
    }
  }

  void expect_range(const TensorEntry& entry, int64_t first, int64_t count,
                    const std::vector<float>& expected) {
    expect_same(read(entry, first, count), first, expected);
  }

  /// Expects elements from number `first` on.
  void expect_same(const std::vector<float>& got, int64_t first,
                   const std::vector<float>& expected) {
    const auto count = static_cast<int64_t>(got.size());
    for (int64_t i = 0; i < count; ++i) {
      const float want = expected[static_cast<size_t>(first + i)];
      const float value = got[static_cast<size_t>(i)];
      if (std::isnan(want) ? !std::isnan(value)
                           : std::bit_cast<uint32_t>(want) != std::bit_cast<uint32_t>(value)) {
        ADD_FAILURE() << "element " << first + i << " of [" << first << ", +" << count << "): got "
                      << value << ", expected " << want;
        return;
      }
    }
  }

  std::string random_bytes(int64_t count) {
    std::string bytes;
    while (static_cast<int64_t>(bytes.size()) < count) bytes += static_cast<char>(random_());
    return bytes;
  }

  /// An FP8 matrix of random codes in `blocks`, its scales in another file, and its elements.
  TensorEntry add_fp8(int64_t rows, int64_t cols, int64_t block_rows, int64_t block_cols,
                      DType scale_dtype, std::vector<float>& elements) {
    const std::string codes = random_bytes(rows * cols);
    const int64_t scale_rows = (rows + block_rows - 1) / block_rows;
    const int64_t scale_cols = (cols + block_cols - 1) / block_cols;
    std::vector<float> scales;
    for (int64_t i = 0; i < scale_rows * scale_cols; ++i) {
      scales.push_back(bf16_to_f32(f32_to_bf16(
          std::ldexp(1.0f + 0.37f * static_cast<float>(i), static_cast<int>(i % 40) - 20))));
    }
    std::string stored(scales.size() * static_cast<size_t>(size_of(scale_dtype)), 0);
    convert_elements(DType::kF32, scales.data(), scale_dtype, stored.data(),
                     static_cast<int64_t>(scales.size()));
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        const auto code = static_cast<uint8_t>(codes[static_cast<size_t>(i * cols + j)]);
        const float scale =
            scales[static_cast<size_t>(i / block_rows * scale_cols + j / block_cols)];
        elements.push_back(e4m3_to_f32(code) * scale);
      }
    }
    TensorEntry entry = add_plain(codes, DType::kF32, {rows, cols});
    entry.encoding = TensorEncoding::kFp8Block;
    entry.scale = {add_plain(stored, scale_dtype, {scale_rows, scale_cols})};
    entry.block_rows = block_rows;
    entry.block_cols = block_cols;
    return entry;
  }

  /// An MXFP4 tensor [..., cols] of random codes and of scales that make every kind of number.
  TensorEntry add_mxfp4(std::vector<int64_t> shape, std::vector<float>& elements) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    const std::string codes = random_bytes(count / 2);
    std::string scales = random_bytes(count / 32);
    for (size_t i = 0; i < scales.size(); ++i) {
      if (i % 5 == 0) scales[i] = static_cast<char>(std::vector<int>{0, 1, 254, 255}[i % 4]);
    }
    const std::vector<float> sizes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    for (int64_t i = 0; i < count; ++i) {
      const auto pair = static_cast<uint8_t>(codes[static_cast<size_t>(i / 2)]);
      const int code = i % 2 == 0 ? pair & 15 : pair >> 4;
      const int scale = static_cast<uint8_t>(scales[static_cast<size_t>(i / 32)]);
      const double size = std::ldexp(sizes[static_cast<size_t>(code & 7)], scale - 127);
      const double value = code >= 8 ? -size : size;
      elements.push_back(scale == 255      ? std::nanf("")
                         : size >= 0x1p128 ? std::copysign(INFINITY, static_cast<float>(-code + 7))
                                           : static_cast<float>(value));
    }
    TensorEntry entry = add_plain(codes, DType::kBF16, shape);
    entry.encoding = TensorEncoding::kMxfp4;
    shape.back() /= 32;
    entry.scale = {add_plain(scales, DType::kU8, shape)};
    return entry;
  }

  TempFolder folder_;
  CheckpointIndex index_;
  std::mt19937 random_{5};
  int64_t bytes_read_ = 0;
};

TEST_F(EncodedTest, Fp8WithWholeAndRaggedBlocks) {
  for (const auto& [rows, cols, block_rows, block_cols] :
       std::vector<std::array<int64_t, 4>>{{32, 48, 16, 16},
                                           {37, 50, 16, 16},
                                           {5, 7, 128, 128},
                                           {70, 200, 1, 64},
                                           {9, 3, 2, 1},
                                           {130, 129, 128, 128}}) {
    SCOPED_TRACE(testing::Message() << rows << " x " << cols);
    std::vector<float> elements;
    const TensorEntry entry = add_fp8(rows, cols, block_rows, block_cols, DType::kF32, elements);
    EXPECT_FALSE(entry.is_contiguous());
    EXPECT_EQ(entry.bytes(), rows * cols * 4);
    expect(entry, elements);
  }
}

TEST_F(EncodedTest, Fp8WithScalesOfBf16) {
  std::vector<float> elements;
  expect(add_fp8(37, 50, 16, 16, DType::kBF16, elements), elements);
}

TEST_F(EncodedTest, Fp8RowsCountBlocksFromTheStoredMatrix) {
  std::vector<float> elements;
  const TensorEntry whole = add_fp8(40, 20, 16, 16, DType::kF32, elements);
  const TensorEntry rows = rows_of(whole, 13, 20);
  EXPECT_EQ(rows.first_row, 13);
  EXPECT_EQ(rows.offset, whole.offset + 13 * 20);
  EXPECT_EQ(rows.scale, whole.scale);
  expect(rows, {elements.begin() + 13 * 20, elements.begin() + 33 * 20});
  // One row needs its bytes and one row of two scales; the last three of a row of blocks too.
  read(rows, 20, 20);
  EXPECT_EQ(bytes_read_, 20 + 2 * 4);
  read(rows, 0, 3 * 20);
  EXPECT_EQ(bytes_read_, 3 * 20 + 2 * 4);
  read(rows, 2 * 20, 2 * 20);  // rows 15 and 16 of the stored one
  EXPECT_EQ(bytes_read_, 2 * 20 + 2 * 2 * 4);
}

TEST_F(EncodedTest, Mxfp4OfAnyShape) {
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{40, 64}, {3, 32}, {1, 4096 * 3}, {3, 5, 96}}) {
    std::vector<float> elements;
    const TensorEntry entry = add_mxfp4(shape, elements);
    EXPECT_FALSE(entry.is_contiguous());
    expect(entry, elements);
  }
}

TEST_F(EncodedTest, Mxfp4ReadsTheBytesItNeeds) {
  std::vector<float> elements;
  const TensorEntry entry = add_mxfp4({10, 64}, elements);
  read(entry, 64, 128);
  EXPECT_EQ(bytes_read_, 64 + 4);
  read(entry, 33, 2);  // the high half of a byte and the low one of the next
  EXPECT_EQ(bytes_read_, 2 + 1);
  read(rows_of(entry, 9, 1), 63, 1);
  EXPECT_EQ(bytes_read_, 1 + 1);
}

TEST_F(EncodedTest, PartsOfTheSameCodesAreCodes) {
  std::vector<float> elements;
  TensorEntry whole{0, 0, DType::kF32, {30, 50}, {}};
  whole.parts = {add_fp8(20, 50, 16, 16, DType::kF32, elements),
                 add_fp8(10, 50, 8, 16, DType::kBF16, elements)};
  EXPECT_EQ(given_codes(whole), e4m3_codes(16));
  expect(whole, elements);
  whole.parts[1].block_cols = 8;
  EXPECT_FALSE(given_codes(whole).is_on());
}

TEST_F(EncodedTest, BlocksThatEndWithinAStepAreNumbers) {
  std::vector<float> elements;
  EXPECT_EQ(given_codes(add_fp8(5, 7, 128, 128, DType::kF32, elements)), e4m3_codes(128));
  EXPECT_EQ(given_codes(add_fp8(5, 7, 128, 12, DType::kF32, elements)), e4m3_codes(8));
  EXPECT_FALSE(given_codes(add_fp8(5, 70, 128, 12, DType::kF32, elements)).is_on());
}

TEST_F(EncodedTest, PartsOfSeveralFilesAndTypes) {
  std::vector<float> elements;
  TensorEntry whole{0, 0, DType::kF32, {0, 32}, {}};
  const auto add = [&](TensorEntry part) {
    whole.shape[0] += part.shape[0];
    whole.parts.push_back(std::move(part));
  };
  const auto numbers = [&](int64_t count, DType dtype) {
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i) {
      values.push_back(bf16_to_f32(f32_to_bf16(static_cast<float>(random_() % 4096) / 7.0f)));
    }
    std::string bytes(static_cast<size_t>(count * size_of(dtype)), 0);
    convert_elements(DType::kF32, values.data(), dtype, bytes.data(), count);
    convert_elements(dtype, bytes.data(), DType::kF32, values.data(), count);
    elements.insert(elements.end(), values.begin(), values.end());
    return bytes;
  };
  add(add_plain(numbers(3 * 32, DType::kBF16), DType::kBF16, {3, 32}));
  add(add_plain(numbers(2 * 32, DType::kF32), DType::kF32, {2, 32}));
  add(add_fp8(20, 32, 16, 16, DType::kF32, elements));
  add(add_plain(numbers(32, DType::kF16), DType::kF16, {1, 32}));
  add(add_mxfp4({6, 32}, elements));
  EXPECT_FALSE(whole.is_contiguous());
  expect(whole, elements);

  const TensorEntry one_part = rows_of(whole, 3, 2);
  EXPECT_TRUE(one_part.parts.empty());
  EXPECT_TRUE(one_part.is_contiguous());
  const TensorEntry none = rows_of(whole, 7, 0);
  EXPECT_EQ(none.num_elements(), 0);
  EXPECT_EQ(rows_of(none, 0, 0).num_elements(), 0);
  EXPECT_THROW(rows_of(whole, 30, 3), Error);
  EXPECT_THROW(rows_of(whole, -1, 1), Error);
  EXPECT_THROW(read(whole, 0, whole.num_elements() + 1), Error);

  // Parts of parts.
  TensorEntry twice{0, 0, DType::kF32, {64, 32}, {}};
  twice.parts = {whole, rows_of(whole, 0, 32)};
  std::vector<float> both = elements;
  both.insert(both.end(), elements.begin(), elements.end());
  expect(twice, both);
}

TEST_F(EncodedTest, PartsThatAreTransposedOrLieInExtents) {
  // [2 experts, 5 inputs, 8 outputs] of fp16: the element's number.
  std::vector<uint16_t> halves;
  for (int i = 0; i < 80; ++i) halves.push_back(f32_to_f16(static_cast<float>(i)));
  const TensorEntry stored = add_plain(bytes_of(halves), DType::kF16, {2, 5, 8});
  const auto expert = [&](int64_t e, int64_t first_output) {
    return TensorEntry{stored.file,
                       stored.offset + (e * 40 + first_output) * 2,
                       DType::kF16,
                       {4, 5},
                       {2 /* outputs */, 8 /* inputs */}};
  };
  TensorEntry extents{0, 0, DType::kF16, {2, 5}, {5, 1}};
  extents.extents = {{stored.file, stored.offset, 3}, {stored.file, stored.offset + 40, 7}};
  TensorEntry whole{0, 0, DType::kF32, {10, 5}, {}};
  whole.parts = {expert(1, 0), extents, expert(0, 1)};
  std::vector<float> elements;
  const auto add_expert = [&](int e, int first_output) {
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 5; ++j) {
        elements.push_back(static_cast<float>(e * 40 + j * 8 + first_output + 2 * i));
      }
    }
  };
  add_expert(1, 0);
  for (const int i : {0, 1, 2, 20, 21, 22, 23, 24, 25, 26}) {
    elements.push_back(static_cast<float>(i));
  }
  add_expert(0, 1);
  expect(whole, elements);
  EXPECT_EQ(rows_of(extents, 1, 1).extents, std::vector<TensorExtent>{});
  expect(rows_of(extents, 1, 1), {22, 23, 24, 25, 26});
}

TEST_F(EncodedTest, NamesTheFileThatEndsEarly) {
  std::vector<float> elements;
  TensorEntry entry = add_fp8(4, 4, 2, 2, DType::kF32, elements);
  entry.shape[0] = 6;
  entry.scale[0].shape[0] = 3;
  for (const auto& [first, file] : std::vector<std::pair<int64_t, std::string>>{{16, "f1"}}) {
    try {
      read(entry, first, 8);
      FAIL() << "read behind the end";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(file), std::string::npos) << message;
      EXPECT_NE(message.find("tensor 't'"), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace switchyard
