#include "runtime/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace switchyard {
namespace {

StepHeader header_of(const std::vector<int64_t>& lengths) {
  StepHeader header;
  header.kind = StepKind::kRun;
  for (const int64_t length : lengths) {
    StepSequence& sequence = header.sequences.emplace_back();
    sequence.input_ids.assign(static_cast<size_t>(length), 5);
  }
  return header;
}

/// Fills a step from `lengths` and checks the limits; returns how many sequences it took.
size_t check_step(const std::vector<int64_t>& lengths, const ScheduleLimits& limits) {
  StepFiller filler(limits);
  size_t count = 0;
  while (count < lengths.size() && filler.add(lengths[count])) ++count;
  const std::vector<int64_t> taken(lengths.begin(),
                                   lengths.begin() + static_cast<std::ptrdiff_t>(count));
  const StepPlan plan = filler.plan();
  EXPECT_EQ(plan.sequences_of_rank.size(), static_cast<size_t>(limits.num_ranks));
  EXPECT_EQ(plan_step(header_of(taken), limits).sequences_of_rank, plan.sequences_of_rank);
  std::vector<int> seen;
  for (const std::vector<int>& sequences : plan.sequences_of_rank) {
    EXPECT_TRUE(std::ranges::is_sorted(sequences));
    int64_t rows = 0;
    int64_t pages = 0;
    for (const int i : sequences) {
      rows += taken[static_cast<size_t>(i)];
      pages += (taken[static_cast<size_t>(i)] + 63) / 64;
      seen.push_back(i);
    }
    if (sequences.size() > 1) {
      EXPECT_LE(rows, limits.max_rows);
      EXPECT_LE(pages, limits.max_pages);
    }
  }
  std::ranges::sort(seen);
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(seen.at(i), static_cast<int>(i));
  EXPECT_EQ(seen.size(), count);
  return count;
}

TEST(Scheduler, EverySequenceRunsOnceWithinTheLimits) {
  std::mt19937_64 random(3);
  for (const int ranks : {1, 2, 3, 8, 64}) {
    for (const int64_t max_rows : {1, 10, 64, 1000}) {
      std::vector<int64_t> lengths(200);
      for (int64_t& length : lengths) length = 1 + static_cast<int64_t>(random() % 150);
      EXPECT_GE(check_step(lengths, ScheduleLimits::make(ranks, max_rows, 40, 128)), 1u);
    }
  }
}

TEST(Scheduler, ALongSequenceRunsAlone) {
  const ScheduleLimits limits = ScheduleLimits::make(2, 100, 40, 64);
  StepFiller filler(limits);
  EXPECT_TRUE(filler.add(1000));
  EXPECT_TRUE(filler.add(60));
  EXPECT_TRUE(filler.add(40));
  EXPECT_FALSE(filler.add(1));
  const StepPlan plan = filler.plan();
  EXPECT_EQ(plan.sequences_of_rank[0], std::vector<int>{0});
  EXPECT_EQ(plan.sequences_of_rank[1], (std::vector<int>{1, 2}));
}

TEST(Scheduler, PagesLimitManyShortSequences) {
  StepFiller filler(ScheduleLimits::make(1, 1000, 3, 64));
  EXPECT_TRUE(filler.add(1));
  EXPECT_TRUE(filler.add(65));
  EXPECT_FALSE(filler.add(1));
}

TEST(Scheduler, CostIsBalanced) {
  // Four equal long sequences and many short ones on four ranks: one long one each.
  std::vector<int64_t> lengths = {512, 512, 512, 512};
  lengths.insert(lengths.end(), 40, 10);
  StepFiller filler(ScheduleLimits::make(4, 1000, 100, 64));
  for (const int64_t length : lengths) EXPECT_TRUE(filler.add(length));
  for (const std::vector<int>& sequences : filler.plan().sequences_of_rank) {
    EXPECT_EQ(std::ranges::count_if(sequences, [](int i) { return i < 4; }), 1);
    EXPECT_EQ(sequences.size(), 11u);
  }
}

TEST(Scheduler, HeadersAndOutputsSurviveTheirEncoding) {
  StepHeader header = header_of({3, 1});
  header.step = 7;
  header.top_logprobs = 2;
  header.sequences[1].target_ids = {9};
  header.sequences[1].sequence = int64_t{1} << 40;
  header.error = "why";
  const StepHeader copy = decode_step_header(encode(header));
  EXPECT_EQ(copy.kind, StepKind::kRun);
  EXPECT_EQ(copy.step, 7);
  EXPECT_EQ(copy.top_logprobs, 2);
  ASSERT_EQ(copy.sequences.size(), 2u);
  EXPECT_EQ(copy.sequences[1].target_ids, std::vector<int32_t>{9});
  EXPECT_EQ(copy.sequences[1].sequence, int64_t{1} << 40);
  EXPECT_EQ(copy.error, "why");
  EXPECT_THROW(decode_step_header(encode(header).substr(0, 20)), Error);
  const std::vector<SequenceOutput> outputs = {{5, {-1.5f}, {3}, {3, 4}, {-1.5f, -2.0f}}};
  const std::vector<SequenceOutput> decoded = decode_outputs(encode(outputs));
  ASSERT_EQ(decoded.size(), 1u);
  EXPECT_EQ(decoded[0].sequence, 5);
  EXPECT_EQ(decoded[0].top_ids, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(decoded[0].top_logprobs, (std::vector<float>{-1.5f, -2.0f}));
}

}  // namespace
}  // namespace switchyard
