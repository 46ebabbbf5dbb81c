#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

struct Scored {
  std::vector<float> logprobs, top_logprobs;
  std::vector<int32_t> greedy, top_ids;
};

Scored run(TestDevice& device, const std::vector<float>& logits,
           const std::vector<int32_t>& targets, int64_t num_top) {
  const auto rows = static_cast<int64_t>(targets.size());
  const int64_t vocabulary = static_cast<int64_t>(logits.size()) / rows;
  const Tensor in = device.put(logits, {rows, vocabulary});
  const Tensor target = device.put(targets, {rows});
  const Tensor logprobs = device.make({rows});
  const Tensor greedy = device.make(DType::kI32, {rows});
  const Tensor top_ids = device.make(DType::kI32, {rows, num_top});
  const Tensor top_logprobs = device.make({rows, num_top});
  LogProbsArgs args{in.view(), target.view(), logprobs.view(), greedy.view(), {}, {}};
  if (num_top > 0) {
    args.top_ids = top_ids.view();
    args.top_logprobs = top_logprobs.view();
  }
  device.backend().log_probs(device.stream(), args);
  Scored scored{device.get(logprobs), {}, device.get<int32_t>(greedy.view()), {}};
  if (num_top > 0) {
    scored.top_logprobs = device.get(top_logprobs);
    scored.top_ids = device.get<int32_t>(top_ids.view());
  }
  return scored;
}

std::vector<float> flatten(const Scored& scored) {
  std::vector<float> all = scored.logprobs;
  append(all, scored.top_logprobs);
  for (const int32_t id : scored.greedy) all.push_back(static_cast<float>(id));
  for (const int32_t id : scored.top_ids) all.push_back(static_cast<float>(id));
  return all;
}

// Ids of one row, best first, the lower id at a tie.
std::vector<int32_t> ranking(const float* logits, int64_t vocabulary) {
  std::vector<int32_t> ids(static_cast<size_t>(vocabulary));
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(),
                   [logits](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  return ids;
}

void expect_row(const float* logits, int64_t vocabulary, int32_t target, const Scored& scored,
                size_t row) {
  double total = 0;
  for (int64_t i = 0; i < vocabulary; ++i) total += std::exp(static_cast<double>(logits[i]));
  const auto expect_log_prob = [&](float actual, int32_t id) {
    // Rounding of log_sum (below 14) and of the result (below 50).
    EXPECT_NEAR(actual, logits[id] - std::log(total), 5e-6) << vocabulary << " row " << row;
  };
  expect_log_prob(scored.logprobs[row], target);
  const std::vector<int32_t> ids = ranking(logits, vocabulary);
  EXPECT_EQ(scored.greedy[row], ids[0]);
  const size_t num_top = scored.top_ids.size() / scored.logprobs.size();
  for (size_t i = 0; i < num_top; ++i) {
    EXPECT_EQ(scored.top_ids[row * num_top + i], ids[i]) << "place " << i;
    expect_log_prob(scored.top_logprobs[row * num_top + i], ids[i]);
  }
}

struct Case {
  int64_t rows, vocabulary, num_top;
};

TEST(LogProbs, MatchesDoubleReferenceOnAllVariants) {
  for (const Case& c : {Case{2, 1, 1},
                        {3, 5, 5},
                        {4, 16, 0},
                        {30, 100, 3},
                        {2, 8192, 10},
                        {2, 8193, 2},
                        {3, 20000, 5}}) {
    std::vector<float> logits = random_floats(c.rows * c.vocabulary, 1, 20.0f);
    // Coarse numbers in the first row make ties common.
    for (int64_t i = 0; i < c.vocabulary; ++i) {
      logits[static_cast<size_t>(i)] = std::floor(logits[static_cast<size_t>(i)]);
    }
    std::vector<int32_t> targets;
    for (int64_t row = 0; row < c.rows; ++row) {
      targets.push_back(static_cast<int32_t>(row * 7919 % c.vocabulary));
    }
    Scored scored;
    same_on_all_variants([&](TestDevice& device) {
      scored = run(device, logits, targets, c.num_top);
      return flatten(scored);
    });
    for (size_t row = 0; row < targets.size(); ++row) {
      expect_row(logits.data() + static_cast<int64_t>(row) * c.vocabulary, c.vocabulary,
                 targets[row], scored, row);
    }
  }
}

TEST(LogProbs, RowsDoNotDependOnEachOther) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  const std::vector<float> logits = random_floats(20 * 3000, 3, 9.0f);
  const std::vector<int32_t> targets(20, 17);
  const Scored together = run(device, logits, targets, 2);
  for (size_t row = 0; row < 20; ++row) {
    const auto begin = logits.begin() + static_cast<int64_t>(row) * 3000;
    const Scored one = run(device, {begin, begin + 3000}, {17}, 2);
    expect_same_bits({together.logprobs[row]}, one.logprobs, "row");
    expect_same_bits({together.top_logprobs[2 * row], together.top_logprobs[2 * row + 1]},
                     one.top_logprobs, "row");
  }
}

TEST(LogProbs, ACertainTokenHasAllItsDigits) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Scored scored = run(device, {1000.0f, 992.0f}, {0}, 0);
  // Half an ulp of the sum, 1 + exp(-8); subtracting a log-sum of 1000.0003 would lose 3e-5.
  EXPECT_NEAR(scored.logprobs[0], -std::log1p(std::exp(-8.0)), 7e-8);
}

TEST(LogProbs, TiesGoToTheLowerIdAcrossSegments) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  std::vector<float> logits(20000, 0.0f);
  logits[9000] = logits[100] = logits[19999] = 3.0f;
  const Scored scored = run(device, logits, {0}, 3);
  EXPECT_EQ(scored.greedy[0], 100);
  EXPECT_EQ(scored.top_ids, (std::vector<int32_t>{100, 9000, 19999}));
}

// Log-probs near -7 are 2^-21 apart, so a logit that is 2^-23 smaller gets the same one.
TEST(LogProbs, LogitsThatRoundToOneLogProbAreATie) {
  std::vector<float> logits(1000, std::nextafter(1.0f, 2.0f));
  logits[0] = 1.0f;
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    const Scored scored = run(device, logits, {0}, 2);
    ASSERT_EQ(scored.top_logprobs[0], scored.top_logprobs[1]);
    EXPECT_EQ(scored.greedy[0], 0);
    EXPECT_EQ(scored.top_ids[0], 0);
    EXPECT_EQ(scored.top_ids[1], 1);
  }
}

TEST(LogProbs, WhatIsNotFiniteIsNeverHidden) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
      for (const size_t place : {size_t{0}, size_t{15}, size_t{8190}, size_t{8191}, size_t{8199}}) {
        std::vector<float> logits(2 * 8200, 1.0f);
        logits[place] = bad;
        const Scored scored = run(device, logits, {8195, 3}, 2);
        EXPECT_FALSE(std::isfinite(scored.logprobs[0])) << bad << " at " << place;
        EXPECT_FALSE(std::isfinite(scored.top_logprobs[0]));
        EXPECT_TRUE(std::isfinite(scored.logprobs[1]));
        EXPECT_TRUE(scored.greedy[0] >= 0 && scored.greedy[0] < 8200);
      }
    }
  }
}

TEST(LogProbs, TargetsOutOfRangeAreErrors) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  expect_error(
      [&] {
        run(device, {1.0f, 2.0f}, {2}, 0);
      },
      ErrorKind::kInternal, "log_probs: targets[0] is 2 of 2");
  TestDevice other({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  expect_error([&] { run(other, {1.0f, 2.0f}, {0}, 3); }, ErrorKind::kInternal, "top_ids");
}

}  // namespace
}  // namespace switchyard::testing
