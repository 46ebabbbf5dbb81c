#include "kernels/base/byte_size.h"

#include <gtest/gtest.h>

#include <limits>

namespace switchyard {
namespace {

TEST(ByteSize, ReadsNumbersAndUnits) {
  EXPECT_EQ(parse_byte_size("0"), 0);
  EXPECT_EQ(parse_byte_size("65536"), 65536);
  EXPECT_EQ(parse_byte_size("7B"), 7);
  EXPECT_EQ(parse_byte_size("64KiB"), 65536);
  EXPECT_EQ(parse_byte_size("64 MiB"), 67108864);
  EXPECT_EQ(parse_byte_size("3GiB"), 3221225472);
  EXPECT_EQ(parse_byte_size("1TiB"), 1099511627776);
  EXPECT_EQ(parse_byte_size("9223372036854775807"), std::numeric_limits<int64_t>::max());
}

TEST(ByteSize, RefusesEverythingElse) {
  for (const char* text : {"", " 1", "1 ", "-1", "+1", "1.5GiB", "64KB", "64kib", "1  MiB", "MiB",
                           "0x10", "9223372036854775808", "8388608TiB", "1MiB2"}) {
    EXPECT_EQ(parse_byte_size(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_byte_size("8388607TiB"), 8388607 * (int64_t{1} << 40));
}

TEST(ByteSize, PrintsForPeople) {
  EXPECT_EQ(format_byte_size(0), "0 B");
  EXPECT_EQ(format_byte_size(1023), "1023 B");
  EXPECT_EQ(format_byte_size(1024), "1.0 KiB");
  EXPECT_EQ(format_byte_size(1536), "1.5 KiB");
  EXPECT_EQ(format_byte_size((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(format_byte_size(int64_t{5} << 40), "5.0 TiB");
}

}  // namespace
}  // namespace switchyard
