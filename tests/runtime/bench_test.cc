#include "runtime/bench/bench.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace switchyard {
namespace {

std::vector<BenchRow> two_rows() {
  return {
      {.what = "memory copy", .detail = "a", .times = {1.0, 0.5, 2.0}, .rate = 8e9, .unit = "B/s"},
      {.what = "experts",
       .detail = "b",
       .times = {1.0, 0.5, 2.0},
       .rate = 4e9,
       .unit = "B/s",
       .limit = 8e9,
       .check = BenchCheck::kWrong}};
}

TEST(BenchTest, TableShowsTheLimitAndAWrongResult) {
  const std::string text = bench_text(two_rows(), ResultForm::kTable);
  EXPECT_NE(text.find("50.0"), std::string::npos) << text;
  EXPECT_NE(text.find("WRONG"), std::string::npos) << text;
}

TEST(BenchTest, JsonParsesAndHasTheSameNumbers) {
  const boost::json::value json = boost::json::parse(bench_text(two_rows(), ResultForm::kJson));
  const boost::json::array& rows = json.at("rows").as_array();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].at("rate").to_number<double>(), 4e9);
  EXPECT_EQ(rows[1].at("limit").to_number<double>(), 8e9);
  EXPECT_EQ(rows[1].at("check").as_string(), "WRONG");
}

TEST(BenchTest, ARateAboveItsLimitIsTold) {
  std::vector<BenchRow> rows = two_rows();
  rows[1].check = BenchCheck::kOk;
  rows[1].rate = 9e9;
  const std::string text = bench_text(rows, ResultForm::kTable);
  EXPECT_NE(text.find("above its limit"), std::string::npos) << text;
}

TEST(BenchTest, LimitsAreNotChecked) {
  std::vector<BenchRow> rows = two_rows();
  rows[1].check = BenchCheck::kNone;
  const std::string text = bench_text(rows, ResultForm::kTable);
  EXPECT_EQ(text.find("WRONG"), std::string::npos) << text;
}

TEST(BenchTest, ZipfCountsAddUp) {
  EXPECT_EQ(zipf_counts(12, 4, 0.0), (std::vector<int64_t>{3, 3, 3, 3}));
  EXPECT_EQ(zipf_counts(13, 4, 0.0), (std::vector<int64_t>{4, 3, 3, 3}));
  const std::vector<int64_t> skewed = zipf_counts(1000, 4, 1.0);  // 1 : 1/2 : 1/3 : 1/4
  EXPECT_EQ(skewed, (std::vector<int64_t>{480, 240, 160, 120}));
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
