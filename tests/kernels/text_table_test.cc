#include "kernels/base/text_table.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

TEST(TextTable, NumbersStandRightAndWordsLeft) {
  TextTable table({"rank", "host", "bytes"});
  table.add_row({"0", "a", "1.5 GiB"});
  table.add_row({"10", "bcd", "-"});
  EXPECT_EQ(table.text(),
            "rank  host    bytes\n"
            "----  ----  -------\n"
            "   0  a     1.5 GiB\n"
            "  10  bcd         -\n");
}

TEST(TextTable, CharactersAreCountedNotBytes) {
  TextTable table({"text", "n"});
  table.add_row({"\xC3\xA4\xC3\xB6", "1"});
  table.add_row({"abcde", "2"});
  EXPECT_EQ(table.text(),
            "text   n\n"
            "-----  -\n"
            "\xC3\xA4\xC3\xB6     1\n"
            "abcde  2\n");
}

TEST(TextTable, RowsMustFitTheHeader) {
  TextTable table({"a", "b"});
  EXPECT_THROW(table.add_row({"1"}), Error);
  EXPECT_EQ(format_fixed(1.005, 1), "1.0");
  EXPECT_EQ(format_fixed(-2.5, 2), "-2.50");
}

}  // namespace
}  // namespace switchyard
