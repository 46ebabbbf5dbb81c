// The simulated cache, on uses made by hand and by chance.
#include "runtime/cache_simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

constexpr SimulatedPolicy kPolicies[] = {SimulatedPolicy::kLru, SimulatedPolicy::kLfu,
                                         SimulatedPolicy::kStatic};
constexpr CacheScope kScopes[] = {CacheScope::kGlobal, CacheScope::kLayer};

/// One layer that uses one expert after the other.
UseLog one_by_one(int64_t num_experts, const std::vector<int32_t>& experts) {
  UseLog uses{{num_experts}, {}};
  for (const int32_t expert : experts) uses.log.insert(uses.log.end(), {0, 1, expert});
  return uses;
}

int64_t hits(const UseLog& uses, SimulatedPolicy policy, int64_t slots,
             CacheScope scope = CacheScope::kGlobal) {
  SimulatedCache cache{policy, scope, slots};
  if (policy == SimulatedPolicy::kStatic) cache.earlier_uses = count_uses(uses);
  return simulate_cache(uses, cache).hits;
}

/// Layers of 5, 1 and 8 experts that use between `least` and `most` each in every step, the lower
/// ones more often.
UseLog by_chance(uint32_t seed, int32_t least, int32_t most, int steps = 200) {
  std::mt19937 random(seed);
  UseLog uses{{5, 1, 8}, {}};
  for (int step = 0; step < steps; ++step) {
    for (size_t layer = 0; layer < uses.num_experts.size(); ++layer) {
      std::vector<int32_t> experts;
      const auto num_experts = static_cast<int32_t>(uses.num_experts[layer]);
      const int32_t count =
          std::min(num_experts, least + static_cast<int32_t>(random() % (most - least + 1)));
      while (static_cast<int32_t>(experts.size()) < count) {
        const auto expert =
            static_cast<int32_t>(std::min(random() % num_experts, random() % num_experts));
        if (std::ranges::find(experts, expert) == experts.end()) experts.push_back(expert);
      }
      uses.log.insert(uses.log.end(), {static_cast<int32_t>(layer), count});
      uses.log.insert(uses.log.end(), experts.begin(), experts.end());
    }
  }
  return uses;
}

int64_t cold_misses(const UseLog& uses) {
  int64_t experts = 0;
  for (const std::vector<int64_t>& layer : count_uses(uses)) {
    experts += std::ranges::count_if(layer, [](int64_t count) { return count > 0; });
  }
  return experts;
}

TEST(CacheSimulation, PoliciesDoWhatTheirNamesSay) {
  // 0 is used most often, 1 most recently, and 2 is needed next.
  const UseLog uses = one_by_one(4, {0, 0, 0, 2, 1, 3, 1, 0, 2});
  EXPECT_EQ(simulate_cache(uses, {.num_slots = 3}).uses, 9);
  // 0 0 0 2 1 are two hits; then 3 takes the place of 0, 2 or 1.
  EXPECT_EQ(hits(uses, SimulatedPolicy::kLru, 3), 2 + 1);      // 3 for 0: 1 hits; 0, 2 miss
  EXPECT_EQ(hits(uses, SimulatedPolicy::kLfu, 3), 2 + 2);      // 3 for 2: 1, 0 hit; 2 misses
  EXPECT_EQ(hits(uses, SimulatedPolicy::kStatic, 3), 2 + 2);   // the same counts
  EXPECT_EQ(hits(uses, SimulatedPolicy::kOptimum, 3), 2 + 2);  // 3 for 2, then 2 for 3
  EXPECT_EQ(hits(one_by_one(3, {0, 1, 2, 0, 1, 2, 0, 1, 2}), SimulatedPolicy::kLru, 2), 0);
  EXPECT_EQ(hits(one_by_one(3, {0, 1, 2, 0, 1, 2, 0, 1, 2}), SimulatedPolicy::kOptimum, 2), 3);
}

TEST(CacheSimulation, StaticFollowsTheEarlierRun) {
  const UseLog uses = one_by_one(3, {0, 1, 2, 0, 1, 0, 2});
  SimulatedCache cache{SimulatedPolicy::kStatic, CacheScope::kGlobal, 2, {{9, 1, 5}}};
  EXPECT_EQ(simulate_cache(uses, cache).hits, 2);  // 0 stays: 0 1 [2 for 1] 0+ [1 for 2] 0+ 2
  cache.earlier_uses = {{1, 9, 5}};
  EXPECT_EQ(simulate_cache(uses, cache).hits, 2);  // 1 stays: 0 1 [2 for 0] [0 for 2] 1+ 0+ 2
  cache.earlier_uses = {{1, 5, 9}};
  EXPECT_EQ(simulate_cache(uses, cache).hits, 1);  // 2 stays: 0 1 [2 for 0] [0 for 1] 1 0 2+
}

TEST(CacheSimulation, WhatALayerNeedsIsNotGivenUpForIt) {
  // Two slots hold {0, 1}. The layer needs 1, the least recently used, and 2: 0 must go.
  const UseLog uses{{4}, {0, 1, 1, 0, 1, 0, 0, 2, 2, 1, 0, 1, 1, 0, 1, 2}};
  EXPECT_EQ(hits(uses, SimulatedPolicy::kLru, 2), 3);
}

TEST(CacheSimulation, TheRestOfALayerThatNeedsTooManyPassesThrough) {
  // {0, 1} stay where 0, 1, 2 are needed: then 2 misses and 0, 1 hit.
  const UseLog uses{{3}, {0, 3, 0, 1, 2, 0, 3, 0, 1, 2}};
  EXPECT_EQ(hits(uses, SimulatedPolicy::kLru, 2), 2);
  EXPECT_EQ(hits(uses, SimulatedPolicy::kLru, 3), 3);
  // The optimum keeps what is needed soonest.
  const UseLog later{{3}, {0, 3, 0, 1, 2, 0, 1, 2, 0, 1, 1, 0, 1, 2}};
  EXPECT_EQ(hits(later, SimulatedPolicy::kLru, 2), 2);
  EXPECT_EQ(hits(later, SimulatedPolicy::kOptimum, 2), 3);
  EXPECT_EQ(hits(later, SimulatedPolicy::kLru, 0), 0);
}

TEST(CacheSimulation, NoPolicyHasMoreHitsThanTheOptimum) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const UseLog uses = by_chance(seed, 1, 1 + static_cast<int32_t>(seed % 4));
    for (const CacheScope scope : kScopes) {
      for (int64_t slots = 0; slots <= 14; ++slots) {
        const int64_t best = hits(uses, SimulatedPolicy::kOptimum, slots, scope);
        for (const SimulatedPolicy policy : kPolicies) {
          EXPECT_LE(hits(uses, policy, slots, scope), best)
              << "policy " << static_cast<int>(policy) << ", " << slots << " slots, seed " << seed;
        }
      }
    }
  }
}

TEST(CacheSimulation, TheOptimumHasAsManyHitsAsAnyChoiceCouldHave) {
  // Against every choice there is, on short runs of one expert at a time.
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    std::vector<int32_t> experts;
    for (int i = 0; i < 9; ++i) experts.push_back(static_cast<int32_t>(random() % 4));
    const auto most = [&](const auto& self, size_t at, std::vector<int32_t> held) -> int64_t {
      if (at == experts.size()) return 0;
      if (std::ranges::find(held, experts[at]) != held.end()) return 1 + self(self, at + 1, held);
      int64_t best = 0;
      for (int32_t& slot : held) {
        const int32_t before = std::exchange(slot, experts[at]);
        best = std::max(best, self(self, at + 1, held));
        slot = before;
      }
      return best;
    };
    EXPECT_EQ(hits(one_by_one(4, experts), SimulatedPolicy::kOptimum, 2), most(most, 0, {-1, -1}));
  }
}

TEST(CacheSimulation, WithASlotForEachExpertOnlyTheFirstUseMisses) {
  const UseLog uses = by_chance(1, 1, 3);
  for (const CacheScope scope : kScopes) {
    for (const SimulatedPolicy policy : kPolicies) {
      for (const int64_t slots : {14, 100}) {
        const SimulatedHits all = simulate_cache(
            uses, {policy, scope, slots,
                   policy == SimulatedPolicy::kStatic ? count_uses(uses) : count_uses({})});
        EXPECT_EQ(all.uses - all.hits, cold_misses(uses));
      }
    }
  }
}

TEST(CacheSimulation, MoreSlotsNeverHaveFewerLruHits) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const UseLog uses = by_chance(seed, 1, 3);
    int64_t before = 0;
    for (int64_t slots = 3; slots <= 14; ++slots) {
      const int64_t now = hits(uses, SimulatedPolicy::kLru, slots);
      EXPECT_GE(now, before) << slots << " slots, seed " << seed;
      before = now;
    }
  }
}

TEST(CacheSimulation, UniformRoutingHitsAsOftenAsThereAreSlots) {
  std::mt19937 random(3);
  std::vector<int32_t> experts;
  for (int i = 0; i < 40000; ++i) experts.push_back(static_cast<int32_t>(random() % 8));
  const UseLog uses = one_by_one(8, experts);
  for (const int64_t slots : {2, 4, 6}) {
    const SimulatedHits lru = simulate_cache(uses, {.num_slots = slots});
    EXPECT_NEAR(share_of(lru.hits, lru.uses), uniform_hit_rate(slots, 8), 0.01);
  }
}

TEST(CacheSimulation, ALayersSlotsAreItsOwn) {
  // Two layers take turns: one shared slot never hits, one slot each always does.
  UseLog uses{{1, 1}, {}};
  for (int step = 0; step < 5; ++step) uses.log.insert(uses.log.end(), {0, 1, 0, 1, 1, 0});
  EXPECT_EQ(hits(uses, SimulatedPolicy::kLru, 1), 0);
  EXPECT_EQ(hits(uses, SimulatedPolicy::kLru, 2, CacheScope::kLayer), 8);
  EXPECT_EQ(hits(uses, SimulatedPolicy::kLru, 1, CacheScope::kLayer), 4);
}

TEST(CacheSimulation, HalvesAreTheWhole) {
  const UseLog uses = by_chance(2, 1, 4);
  const UseLog first = half_of(uses, LogHalf::kFirst);
  const UseLog second = half_of(uses, LogHalf::kSecond);
  validate(first, "first");
  validate(second, "second");
  EXPECT_NEAR(static_cast<double>(first.log.size()), static_cast<double>(second.log.size()), 12.0);
  std::vector<int32_t> joined = first.log;
  joined.insert(joined.end(), second.log.begin(), second.log.end());
  EXPECT_EQ(joined, uses.log);
  EXPECT_TRUE(half_of({{4}, {}}, LogHalf::kSecond).log.empty());
}

TEST(CacheSimulation, LogsAreShortenedWhereALayerBegins) {
  for (size_t most = 0; most < 12; ++most) {
    UseLog uses{{4}, {0, 1, 3, 0, 0, 0, 2, 1, 2}};
    shorten_log(uses.log, most);
    validate(uses, "log");
    EXPECT_EQ(uses.log.size(), most < 3 ? 0u : most < 5 ? 3u : most < 9 ? 5u : 9u) << most;
  }
}

TEST(CacheSimulation, BrokenLogsAreRefused) {
  const std::pair<std::vector<int32_t>, const char*> cases[] = {
      {{2, 0}, "layer that does not exist"},
      {{-1, 0}, "layer that does not exist"},
      {{0}, "cut short"},
      {{0, 1}, "cut short"},
      {{0, -1}, "cut short"},
      {{0, 0x7fffffff, 1}, "cut short"},
      {{0, 1, 4}, "expert that does not exist"},
      {{0, 1, -1}, "expert that does not exist"},
      {{1, 2, 1, 1}, "expert twice"},
      {{0, 1, 3, 1, 1, 1, 0, 2, 0}, "entry 6"}};
  for (const auto& [log, what] : cases) {
    expect_error(ErrorKind::kInput, {"run.json", what}, [&] {
      validate({{4, 2}, log}, "run.json");
    });
  }
  validate({{4, 2}, {0, 0, 1, 2, 1, 0, 0, 1, 3}}, "run.json");
}

}  // namespace
}  // namespace switchyard
