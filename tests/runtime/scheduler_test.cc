#include "runtime/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace switchyard {
namespace {

/// A sequence of `length` rows.
StepUnit unit_of(int64_t length) {
  StepUnit unit;
  unit.sequences.emplace_back().input_ids.assign(static_cast<size_t>(length), 5);
  return unit;
}

StepHeader header_of(const std::vector<int64_t>& lengths) {
  StepHeader header;
  header.kind = StepKind::kRun;
  for (const int64_t length : lengths) header.units.push_back(unit_of(length));
  return header;
}

/// Fills a step from `lengths` and checks the limits; returns how many sequences it took.
size_t check_step(const std::vector<int64_t>& lengths, const ScheduleLimits& limits) {
  StepFiller filler(limits);
  size_t count = 0;
  while (count < lengths.size() && filler.add(unit_of(lengths[count]))) ++count;
  const std::vector<int64_t> taken(lengths.begin(),
                                   lengths.begin() + static_cast<std::ptrdiff_t>(count));
  const StepPlan plan = filler.plan();
  EXPECT_EQ(plan.units_of_rank.size(), static_cast<size_t>(limits.num_ranks));
  EXPECT_EQ(plan_step(header_of(taken), limits).units_of_rank, plan.units_of_rank);
  std::vector<int> seen;
  for (const std::vector<int>& sequences : plan.units_of_rank) {
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
  EXPECT_TRUE(filler.add(unit_of(1000)));
  EXPECT_TRUE(filler.add(unit_of(60)));
  EXPECT_TRUE(filler.add(unit_of(40)));
  EXPECT_FALSE(filler.add(unit_of(1)));
  const StepPlan plan = filler.plan();
  EXPECT_EQ(plan.units_of_rank[0], std::vector<int>{0});
  EXPECT_EQ(plan.units_of_rank[1], (std::vector<int>{1, 2}));
}

TEST(Scheduler, PagesLimitManyShortSequences) {
  StepFiller filler(ScheduleLimits::make(1, 1000, 3, 64));
  EXPECT_TRUE(filler.add(unit_of(1)));
  EXPECT_TRUE(filler.add(unit_of(65)));
  EXPECT_FALSE(filler.add(unit_of(1)));
}

TEST(Scheduler, TheSequencesOfAUnitStayTogether) {
  StepUnit batch = unit_of(30);
  batch.sequences.push_back(batch.sequences[0]);
  batch.sequences[1].num_pads = 20;
  const UnitLoad load = UnitLoad::of(batch, ScheduleLimits::make(1, 100, 40, 1));
  EXPECT_EQ(load.rows, 80);
  EXPECT_EQ(load.pages, 2);
  EXPECT_EQ(load.cost, 12 * 80 + 30 * 30 + 50 * 50);
  StepFiller filler(ScheduleLimits::make(2, 100, 40, 64));
  EXPECT_TRUE(filler.add(batch));
  EXPECT_TRUE(filler.add(batch));
  EXPECT_FALSE(filler.add(batch));  // 160 of 100 rows
  EXPECT_TRUE(filler.add(unit_of(20)));
}

/// A sequence of `length` rows after `position` others, whose pages are kept on `rank`.
StepUnit kept_unit(int64_t position, int64_t length, int rank) {
  StepUnit unit = unit_of(length);
  unit.rank = rank;
  unit.sequences[0].first_position = position;
  unit.sequences[0].pages = {
      std::vector<int32_t>(static_cast<size_t>(pages_of(position + length)))};
  return unit;
}

TEST(Scheduler, KeptSequencesStayOnTheirRank) {
  const ScheduleLimits limits = ScheduleLimits::make(3, 100, 1, 64);
  StepHeader header;
  for (const int rank : {2, 0, 2, 2, 0}) header.units.push_back(kept_unit(500, 30, rank));
  header.units.push_back(unit_of(60));  // goes where nothing runs
  const StepPlan plan = plan_step(header, limits);
  EXPECT_EQ(plan.units_of_rank[0], (std::vector<int>{1, 4}));
  EXPECT_EQ(plan.units_of_rank[1], std::vector<int>{5});
  EXPECT_EQ(plan.units_of_rank[2], (std::vector<int>{0, 2, 3}));
  header.units.push_back(kept_unit(0, 30, 2));  // 120 of 100 rows
  EXPECT_THROW(plan_step(header, limits), Error);
}

TEST(Scheduler, KeptPagesAreNotCountedAndEarlierPositionsCost) {
  const UnitLoad load = UnitLoad::of(kept_unit(500, 3, 0), ScheduleLimits::make(1, 100, 1, 1));
  EXPECT_EQ(load.rows, 3);
  EXPECT_EQ(load.pages, 0);
  EXPECT_EQ(load.cost, 12 * 3 + 3 * (2 * 500 + 3));
}

TEST(Scheduler, CostIsBalanced) {
  // Four equal long sequences and many short ones on four ranks: one long one each.
  std::vector<int64_t> lengths = {512, 512, 512, 512};
  lengths.insert(lengths.end(), 40, 10);
  StepFiller filler(ScheduleLimits::make(4, 1000, 100, 64));
  for (const int64_t length : lengths) EXPECT_TRUE(filler.add(unit_of(length)));
  for (const std::vector<int>& sequences : filler.plan().units_of_rank) {
    EXPECT_EQ(std::ranges::count_if(sequences, [](int i) { return i < 4; }), 1);
    EXPECT_EQ(sequences.size(), 11u);
  }
}

TEST(Scheduler, RanksStayBusyOnALogNormalMixOfLengths) {
  // Medians of few-shot prompts, documents and short sentences; cut at the positions of a model.
  for (const double median : {16.0, 100.0, 400.0}) {
    // A rank's step must hold the longest sequence twice: where one fills it, nothing evens out.
    for (const int64_t max_rows : {4096, 16384}) {
      std::mt19937_64 random(7);
      std::lognormal_distribution<double> length(std::log(median), 1.0);
      const ScheduleLimits limits = ScheduleLimits::make(8, max_rows, max_rows / 16, 768);
      double idle = 0;
      int steps = 0;
      StepUnit held = unit_of(100);
      while (steps < 40) {
        StepFiller filler(limits);
        StepHeader header;
        while (filler.add(held)) {
          header.units.push_back(held);
          held = unit_of(std::clamp<int64_t>(std::llround(length(random)), 1, 2047));
        }
        idle += predicted_idle(header, filler.plan(), limits);
        ++steps;
      }
      EXPECT_LE(idle / steps, 0.05) << median << " tokens, " << max_rows << " rows";
    }
  }
}

TEST(Scheduler, HeadersAndOutputsSurviveTheirEncoding) {
  StepHeader header = header_of({3, 1});
  header.step = 7;
  header.top_logprobs = 2;
  header.units[1].capacity_positions = 12;
  header.units[1].sequences.resize(2);
  header.units[1].sequences[1].target_ids = {9};
  header.units[1].sequences[1].sequence = int64_t{1} << 40;
  header.units[1].sequences[1].num_pads = 4;
  header.units[1].sequences[1].first_target_row = 3;
  header.error = "why";
  const StepHeader copy = decode_step_header(encode(header));
  EXPECT_EQ(copy.kind, StepKind::kRun);
  EXPECT_EQ(copy.step, 7);
  EXPECT_EQ(copy.top_logprobs, 2);
  ASSERT_EQ(copy.units.size(), 2u);
  EXPECT_EQ(copy.units[1].capacity_positions, 12);
  ASSERT_EQ(copy.units[1].sequences.size(), 2u);
  const StepSequence& sequence = copy.units[1].sequences[1];
  EXPECT_EQ(sequence.target_ids, std::vector<int32_t>{9});
  EXPECT_EQ(sequence.sequence, int64_t{1} << 40);
  EXPECT_EQ(sequence.num_pads, 4);
  EXPECT_EQ(sequence.first_target_row, 3);
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
