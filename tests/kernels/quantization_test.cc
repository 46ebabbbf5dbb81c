#include "kernels/quantization.h"

#include <gtest/gtest.h>

#include "kernels/base/value_text.h"
#include "kernels/cpu/packing.h"

namespace switchyard {
namespace {

TEST(Quantization, ReadsNames) {
  EXPECT_EQ(parse_quantization("int8"), (GroupQuantization{8, 128}));
  EXPECT_EQ(parse_quantization("int4"), (GroupQuantization{4, 64}));
  EXPECT_EQ(parse_quantization("int3"), (GroupQuantization{3, 64}));
  EXPECT_EQ(parse_quantization("int2"), (GroupQuantization{2, 16}));
  EXPECT_EQ(parse_quantization("int8:g64"), (GroupQuantization{8, 64}));
  EXPECT_EQ(parse_quantization("int2:g8"), (GroupQuantization{2, 8}));
}

TEST(Quantization, RefusesWhatIsNoneAndNamesWhatThereIs) {
  for (const char* text : {"", "int", "int5", "int44", "int4 ", "INT4", "4", "int4:", "int4:64",
                           "int4:g", "int4:g0", "int4:g-8", "int4:g12", "int4:g8x",
                           "int4:g9223372036854775808", "int4:g64:g64", ":g64", "fp16", "stored"}) {
    try {
      parse_quantization(text);
      ADD_FAILURE() << "'" << text << "' was read";
    } catch (const BadValue& error) {
      EXPECT_NE(std::string(error.what()).find("int8, int4, int3 or int2"), std::string::npos);
    }
  }
}

TEST(Quantization, NamesTellBitsAndGroup) {
  EXPECT_EQ(name_of(GroupQuantization{4, 64}), "int4g64");
  EXPECT_EQ(name_of(GroupQuantization{8, 8}), "int8g8");
}

TEST(Quantization, EveryDefaultCanBePacked) {
  for (const int bits : {8, 4, 3, 2}) {
    const GroupQuantization quantization = default_quantization(bits);
    EXPECT_EQ(quantization.bits, bits);
    EXPECT_GT(cpu::packed_bytes({DType::kF16, 32, 256, quantization}), 0);
  }
  EXPECT_THROW(default_quantization(5), Error);
}

}  // namespace
}  // namespace switchyard
