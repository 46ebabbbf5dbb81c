#include "runtime/bench/bench.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace switchyard {
namespace {

std::vector<BenchRow> two_rows() {
  return {
      {.what = "memory copy", .detail = "a", .times = {1.0, 0.5, 2.0}, .rate = 8, .unit = "B/s"},
      {.what = "experts",
       .detail = "b",
       .times = {1.0, 0.5, 2.0},
       .rate = 4,
       .unit = "B/s",
       .limit = 8,
       .check = BenchCheck::kWrong}};
}

TEST(BenchTest, TableShowsTheReferenceAndAWrongResult) {
  const std::string text = bench_text(two_rows(), ResultForm::kTable);
  EXPECT_NE(text.find("50.0"), std::string::npos) << text;
  EXPECT_NE(text.find("WRONG"), std::string::npos) << text;
}

TEST(BenchTest, JsonParsesAndHasTheSameNumbers) {
  const boost::json::value json = boost::json::parse(bench_text(two_rows(), ResultForm::kJson));
  const boost::json::array& rows = json.at("rows").as_array();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].at("rate").to_number<double>(), 4e9);
  EXPECT_EQ(rows[1].at("reference").to_number<double>(), 8e9);
  EXPECT_EQ(rows[1].at("check").as_string(), "WRONG");
}

TEST(BenchTest, NumbersFitEveryDType) {
  const std::vector<float> numbers = bench_numbers(1000);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<uint16_t> narrow(numbers.size());
    std::vector<float> back(numbers.size());
    convert_elements(DType::kF32, numbers.data(), dtype, narrow.data(), 1000);
    convert_elements(dtype, narrow.data(), DType::kF32, back.data(), 1000);
    EXPECT_EQ(back, numbers);
  }
}

}  // namespace
}  // namespace switchyard
