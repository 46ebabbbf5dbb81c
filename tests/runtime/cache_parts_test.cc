// The small parts of the expert cache: sizes, host tier, judge of prefetching.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "runtime/cache_sizes.h"
#include "runtime/host_tier.h"
#include "runtime/prefetch_judge.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

std::vector<ExpertLayer> some_layers() {
  const ExpertShape small = {{DType::kF32, 64, 32}, {DType::kF32, 32, 64}, HasBias::kNo};
  const ExpertShape large = {{DType::kF32, 128, 32}, {DType::kF32, 32, 128}, HasBias::kYes};
  return {{{small, large}, {4, 5}}, {{small, small, small}, {0, 1, 2}}};
}

class CacheSizesTest : public testing::Test {
 protected:
  CacheSizes plan(const TierOptions& options,
                  int64_t free = std::numeric_limits<int64_t>::max()) const {
    return plan_cache(layers_, options, free, *backend_);
  }

  const std::unique_ptr<Backend> backend_ = make_backend({.kind = BackendKind::kCpu});
  const std::vector<ExpertLayer> layers_ = some_layers();
  // Two matrices of 8 KiB; two of 16 KiB and biases, in blocks of 4 KiB.
  const int64_t small_bytes_ = 16384;
  const int64_t large_bytes_ = 36864;
};

TEST_F(CacheSizesTest, ResidentExpertsHaveSlotsOfTheirOwnSize) {
  const CacheSizes sizes = plan({});
  EXPECT_TRUE(sizes.is_resident());
  EXPECT_EQ(sizes.device_bytes, 4 * small_bytes_ + large_bytes_);
  TierOptions exact;
  exact.expert_budget = sizes.device_bytes;
  EXPECT_TRUE(plan(exact).is_resident());
  exact.expert_slots = 5;
  exact.expert_budget.reset();
  EXPECT_TRUE(plan(exact).is_resident());
}

TEST_F(CacheSizesTest, ABudgetIsNeverExceeded) {
  for (int64_t budget = large_bytes_; budget < 4 * small_bytes_ + large_bytes_; budget += 1000) {
    TierOptions options;
    options.expert_budget = budget;
    const CacheSizes sizes = plan(options);
    EXPECT_FALSE(sizes.is_resident());
    EXPECT_LE(sizes.device_bytes, budget);
    EXPECT_GT(sizes.device_bytes + large_bytes_, std::min(budget, 4 * large_bytes_));
    EXPECT_EQ(plan({}, budget).num_slots, sizes.num_slots);
  }
}

TEST_F(CacheSizesTest, TooLittleIsRefusedWhereItWasAskedForAndTheLeastElsewhere) {
  TierOptions options;
  options.expert_budget = large_bytes_ - 1;
  expect_error(ErrorKind::kUsage, {"--expert-budget", "give at least 36864 bytes"},
               [&] { plan(options); });
  options.scope = CacheScope::kLayer;
  options.expert_budget = 2 * large_bytes_ - 1;
  expect_error(ErrorKind::kUsage, {"give at least 73728 bytes"}, [&] { plan(options); });
  EXPECT_EQ(plan({}, 0).num_slots, 1);
  EXPECT_EQ(plan_cache({}, {}, 0, *backend_).device_bytes, 0);
}

TEST_F(CacheSizesTest, AHostTierHoldsWholeExpertsAndNoMoreThanThereAre) {
  TierOptions options;
  options.expert_slots = 1;
  options.host_budget = 3 * large_bytes_ - 1;
  EXPECT_EQ(plan(options).host_slots, 2);
  options.host_budget = 1 << 30;
  EXPECT_EQ(plan(options).host_slots, 5);
  options.expert_slots = 5;
  EXPECT_EQ(plan(options).host_slots, 0);
}

TEST(HostTier, KeepsPinsAndReplacesTheOldest) {
  const std::unique_ptr<Backend> backend = make_backend({.kind = BackendKind::kCpu});
  HostTier tier(2, 64, *backend);
  const auto add = [&](int64_t expert, HostTier::WhenFull when_full) {
    char* const to = tier.reserve(expert, when_full);
    if (to == nullptr) return false;
    std::memset(to, static_cast<int>(expert), 64);
    EXPECT_EQ(tier.find(expert), nullptr) << "given out before it is complete";
    tier.commit(expert);
    return true;
  };
  EXPECT_TRUE(add(1, HostTier::WhenFull::kKeep));
  EXPECT_TRUE(add(2, HostTier::WhenFull::kKeep));
  EXPECT_FALSE(add(3, HostTier::WhenFull::kKeep));
  EXPECT_FALSE(add(1, HostTier::WhenFull::kReplaceOldest));
  const char* const one = tier.find(1);
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(*one, 1);
  EXPECT_TRUE(add(3, HostTier::WhenFull::kReplaceOldest));
  EXPECT_EQ(tier.find(2), nullptr);
  EXPECT_NE(tier.find(3), nullptr);
  EXPECT_FALSE(add(4, HostTier::WhenFull::kReplaceOldest)) << "both are pinned";
  tier.unpin(1);
  EXPECT_TRUE(add(4, HostTier::WhenFull::kReplaceOldest));
  EXPECT_EQ(tier.find(1), nullptr);
  tier.unpin(3);
  ASSERT_NE(tier.reserve(5, HostTier::WhenFull::kReplaceOldest), nullptr);
  tier.abandon(5);
  EXPECT_EQ(tier.find(5), nullptr);
  EXPECT_TRUE(add(6, HostTier::WhenFull::kKeep));
}

TEST(PrefetchJudge, RestsWhileLoadsAheadAreInVainAndTriesAgain) {
  PrefetchJudge judge;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(judge.may_prefetch(0.9));
    judge.record(true);
  }
  for (int64_t i = 0; i < 2 * PrefetchJudge::kWindow; ++i) judge.record(i % 3 == 0);
  EXPECT_FALSE(judge.may_prefetch(0.1));
  for (int64_t i = 0; i < PrefetchJudge::kRestSteps; ++i) EXPECT_FALSE(judge.may_prefetch(0.1));
  EXPECT_TRUE(judge.may_prefetch(0.1));
  EXPECT_EQ(judge.times_switched_off(), 1);
  // On a link that is nearly always busy three in four right ones do not pay.
  for (int64_t i = 0; i < PrefetchJudge::kWindow; ++i) judge.record(i % 4 != 0);
  EXPECT_FALSE(judge.may_prefetch(0.95));
}

}  // namespace
}  // namespace switchyard
