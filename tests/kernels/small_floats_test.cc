// Numbers of 8 and 4 bits against their definition.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/base/dtype.h"

namespace switchyard {
namespace {

TEST(SmallFloats, EveryE4m3Code) {
  for (int code = 0; code < 256; ++code) {
    SCOPED_TRACE(code);
    const float got = e4m3_to_f32(static_cast<uint8_t>(code));
    EXPECT_EQ(std::signbit(got), code >= 128);
    const int exponent = (code >> 3) & 15;
    const int mantissa = code & 7;
    if (exponent == 15 && mantissa == 7) {
      EXPECT_TRUE(std::isnan(got));
      continue;
    }
    const double size = exponent == 0 ? std::ldexp(mantissa / 8.0, -6)
                                      : std::ldexp(1.0 + mantissa / 8.0, exponent - 7);
    EXPECT_EQ(static_cast<double>(got), code >= 128 ? -size : size);
  }
  EXPECT_EQ(e4m3_to_f32(0x7E), 448.0f);  // the largest
  EXPECT_EQ(e4m3_to_f32(0x01), 0x1p-9f);
}

TEST(SmallFloats, EveryMxfp4CodeUnderEveryScale) {
  const std::vector<double> sizes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (int scale = 0; scale < 256; ++scale) {
    for (int code = 0; code < 16; ++code) {
      SCOPED_TRACE(testing::Message() << "code " << code << " scale " << scale);
      const float got =
          bf16_to_f32(mxfp4_to_bf16(static_cast<uint8_t>(code), static_cast<uint8_t>(scale)));
      if (scale == 255) {
        EXPECT_TRUE(std::isnan(got));
        continue;
      }
      EXPECT_EQ(std::signbit(got), code >= 8);
      const double size = std::ldexp(sizes[static_cast<size_t>(code % 8)], scale - 127);
      if (size >= 0x1p128) {
        EXPECT_TRUE(std::isinf(got));
      } else {
        EXPECT_EQ(std::fabs(static_cast<double>(got)), size);
      }
    }
  }
}

}  // namespace
}  // namespace switchyard
