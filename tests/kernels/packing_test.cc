#include "kernels/cpu/packing.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "tests/kernels/cpu_variants.h"

namespace switchyard {
namespace {

class PackingTest : public testing::TestWithParam<DType> {};

TEST_P(PackingTest, PlacesEveryElementAndZeroesThePadding) {
  for (const int64_t n : {1, 31, 32, 33, 97}) {
    const int64_t k = 37;
    const TestWeight w(GetParam(), n, k, random_numbers(n * k, 1));
    const int64_t width = size_of(GetParam());
    const int64_t padded = (n + 31) / 32 * 32;
    ASSERT_EQ(w.packed.bytes(), padded * k * width);
    for (int64_t row = 0; row < padded; ++row) {
      for (int64_t i = 0; i < k; ++i) {
        // [N / 32][K][32]
        const char* got = w.packed.as<char>() + (row / 32 * k * 32 + i * 32 + row % 32) * width;
        const std::string expected =
            row < n ? std::string(&w.source[static_cast<size_t>((row * k + i) * width)],
                                  static_cast<size_t>(width))
                    : std::string(static_cast<size_t>(width), '\0');
        ASSERT_EQ(std::string(got, static_cast<size_t>(width)), expected) << row << " " << i;
      }
    }
  }
}

TEST_P(PackingTest, PiecesInAnyOrderAndAlignmentGiveTheSameBytes) {
  const int64_t n = 97, k = 15;
  const TestWeight whole(GetParam(), n, k, random_numbers(n * k, 2));
  const AlignedBuffer pieces(whole.packed.bytes());
  std::memset(pieces.data(), 0xFF, static_cast<size_t>(pieces.bytes()));
  const int64_t row_bytes = k * size_of(GetParam());
  std::vector<char> shifted(static_cast<size_t>(n * row_bytes + 1));
  for (const auto& [first, count] :
       {std::pair<int64_t, int64_t>{60, 37}, {0, 1}, {1, 30}, {31, 2}, {33, 27}, {5, 0}}) {
    char* const odd = shifted.data() + 1;
    std::memcpy(odd, &whole.source[static_cast<size_t>(first * row_bytes)],
                static_cast<size_t>(count * row_bytes));
    cpu::pack_rows(odd, first, count, {whole.spec, pieces.data()});
  }
  EXPECT_EQ(std::memcmp(pieces.data(), whole.packed.data(), static_cast<size_t>(pieces.bytes())),
            0);
}

TEST_P(PackingTest, UnpacksEveryRow) {
  for (const int64_t k : {1, 15, 16, 40}) {
    const int64_t n = 67;
    const TestWeight w(GetParam(), n, k, random_numbers(n * k, 3));
    for (const InstructionSet set : supported_sets()) {
      for (int64_t row = 0; row < n; ++row) {
        std::vector<float> out(static_cast<size_t>(k));
        cpu::unpack_row(cpu_kernels(set), w.weight(), row, out.data());
        const std::vector<float> expected(w.widened.begin() + row * k,
                                          w.widened.begin() + (row + 1) * k);
        ASSERT_EQ(bits_of(out), bits_of(expected)) << name_of(set) << " row " << row;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, PackingTest,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& each) { return std::string(name_of(each.param)); });

TEST(Packing, BytesAreAMultipleOfACacheLine) {
  EXPECT_EQ(cpu::packed_bytes({DType::kF16, 1, 1}), 64);
  EXPECT_EQ(cpu::packed_bytes({DType::kF16, 33, 15}), 2 * 32 * 15 * 2);
  EXPECT_EQ(cpu::packed_bytes({DType::kF32, 3072, 768}), int64_t{3072} * 768 * 4);
  EXPECT_EQ(cpu::packed_bytes({DType::kF32, 0, 768}), 0);
  EXPECT_EQ(cpu::packed_bytes({DType::kBF16, 100000, 100000}), int64_t{100000} * 100000 * 2);
}

TEST(Packing, RefusesOtherTypesAndRowsOutside) {
  EXPECT_THROW(cpu::packed_bytes({DType::kI32, 4, 4}), Error);
  EXPECT_THROW(cpu::packed_bytes({DType::kU8, 4, 4}), Error);
  const TestWeight w(DType::kF32, 4, 4, random_numbers(16, 4));
  EXPECT_THROW(cpu::pack_rows(w.source.data(), 3, 2, w.weight()), Error);
  EXPECT_THROW(cpu::pack_rows(w.source.data(), -1, 1, w.weight()), Error);
}

}  // namespace
}  // namespace switchyard
