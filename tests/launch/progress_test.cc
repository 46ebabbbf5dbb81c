#include "launch/progress.h"

#include <gtest/gtest.h>

#include <vector>

namespace switchyard {
namespace {

/// A display whose clock the test turns.
class ProgressTest : public testing::Test {
 protected:
  ProgressDisplay make(ProgressStyle style) {
    return ProgressDisplay(
        style, [this] { return now_; },
        [this](const std::string& text) { texts_.push_back(text); });
  }
  double now_ = 1000.0;
  std::vector<std::string> texts_;
};

TEST_F(ProgressTest, ALogGetsItsFirstLineAfterTwoSecondsAndOneEveryTen) {
  ProgressDisplay display = make(ProgressStyle::kLog);
  for (; now_ < 1025.0; now_ += 0.5) display.update({50, 200, 4000});
  ASSERT_EQ(texts_.size(), 3u);  // at 2, 12 and 22 seconds
  EXPECT_EQ(texts_[0], "progress: 25 %, 50 of 200 requests, 2000 tokens/s, 2.0 s, 6.0 s left");
  EXPECT_EQ(texts_[1], "progress: 25 %, 50 of 200 requests, 333 tokens/s, 12 s, 36 s left");
}

TEST_F(ProgressTest, ALogEndsWithTotals) {
  ProgressDisplay display = make(ProgressStyle::kLog);
  now_ += 4;
  display.finish({200, 200, 16000});
  EXPECT_EQ(texts_,
            std::vector<std::string>{"done: 200 requests, 16000 tokens in 4.0 s, 4000 tokens/s"});
}

TEST_F(ProgressTest, UnknownTotalsShowCountsAndRateOnly) {
  ProgressDisplay display = make(ProgressStyle::kLog);
  now_ += 100;
  display.update({50, -1, 500});
  EXPECT_EQ(texts_.at(0), "progress: 50 requests, 5.0 tokens/s, 1:40 min");
}

TEST_F(ProgressTest, BytesHaveARateOfTheirOwn) {
  ProgressDisplay display = make(ProgressStyle::kLog);
  now_ += 4;
  display.update({.bytes_done = int64_t{3} << 30, .total_bytes = int64_t{12} << 30});
  display.finish({.bytes_done = int64_t{12} << 30, .total_bytes = int64_t{12} << 30});
  EXPECT_EQ(texts_.at(0), "progress: 25 %, 3.0 GiB of 12.0 GiB, 0.81 GB/s, 4.0 s, 12 s left");
  EXPECT_EQ(texts_.at(1), "done: 12884901888 bytes in 4.0 s, 3.22 GB/s");
}

TEST_F(ProgressTest, ATerminalIsRedrawnAtMostFiveTimesASecond) {
  ProgressDisplay display = make(ProgressStyle::kTerminal);
  for (int i = 0; i < 100; ++i, now_ += 0.01) display.update({1, 2, 10});
  EXPECT_LE(texts_.size(), 6u);
  EXPECT_GE(texts_.size(), 4u);
  now_ = 1002.0;
  display.update({1, 2, 10});
  EXPECT_EQ(texts_.back(),
            "\r[============            ] 50 %  1 of 2 requests, 5.0 tokens/s, 2.0 s, 2.0 s "
            "left\x1b[K\r");
}

TEST_F(ProgressTest, NothingToDoIsNotDividedBy) {
  ProgressDisplay display = make(ProgressStyle::kTerminal);
  display.update({0, 0, 0});
  display.finish({0, 0, 0});
  EXPECT_NE(texts_.at(0).find("100 %"), std::string::npos);
  EXPECT_EQ(texts_.at(1), "\rdone: 0 requests, 0 tokens in 0.0 s, 0.0 tokens/s\x1b[K\n");
}

TEST(FormatDuration, ChangesItsUnit) {
  EXPECT_EQ(format_duration(-1), "0.0 s");
  EXPECT_EQ(format_duration(9.94), "9.9 s");
  EXPECT_EQ(format_duration(9.96), "10 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1:00 min");
  EXPECT_EQ(format_duration(3725), "1:02:05 h");
}

}  // namespace
}  // namespace switchyard
