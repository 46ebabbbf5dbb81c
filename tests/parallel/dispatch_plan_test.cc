#include "parallel/dispatch_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <tuple>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// What all ranks route in one step: instances[r][copy].
struct World {
  LayerPlacement placement;
  int64_t top_k;
  std::vector<std::vector<int32_t>> instances;

  std::vector<int32_t> counts() const {
    std::vector<int32_t> all;
    for (const std::vector<int32_t>& of_rank : instances) {
      const std::vector<int32_t> counts = count_instances(of_rank, placement.num_instances());
      all.insert(all.end(), counts.begin(), counts.end());
    }
    return all;
  }
};

/// `skew` 0 routes uniformly, 1 sends everything to the last instance.
World random_world(int num_ranks, int64_t num_experts, double skew, uint64_t seed) {
  std::mt19937_64 random(seed);
  World world{contiguous_placement(num_experts, num_ranks), 2, {}};
  for (int rank = 0; rank < num_ranks; ++rank) {
    const size_t tokens = rank % 3 == 2 ? 0 : random() % 40;
    std::vector<int32_t>& of_rank = world.instances.emplace_back(tokens * 2);
    for (int32_t& instance : of_rank) {
      const bool last = static_cast<double>(random() % 1000) < skew * 1000.0;
      instance = static_cast<int32_t>(last ? num_experts - 1
                                           : static_cast<int64_t>(random()) % num_experts);
      instance = std::abs(instance);
    }
  }
  return world;
}

/// Identifies a copy in the whole world.
using GlobalCopy = std::pair<int, int32_t>;

/// Moves every round's rows as the plans say and checks that plans agree, budgets hold, rows arrive
/// grouped by the right expert, and every copy is computed exactly once.
void check_world(const World& world, const RoundLimits& limits) {
  const int num_ranks = world.placement.num_ranks();
  const std::vector<int32_t> counts = world.counts();
  std::vector<DispatchPlan> plans;
  for (int rank = 0; rank < num_ranks; ++rank) {
    plans.push_back(plan_dispatch(world.placement, rank, counts,
                                  world.instances[static_cast<size_t>(rank)], world.top_k, limits));
    ASSERT_EQ(plans.back().rounds.size(), plans.front().rounds.size());
    ASSERT_EQ(plans.back().rows_of_rank, plans.front().rows_of_rank);
  }
  std::set<GlobalCopy> computed;
  std::vector<std::vector<int64_t>> slots_of_rank(static_cast<size_t>(num_ranks));
  for (size_t r = 0; r < plans.front().rounds.size(); ++r) {
    int64_t moved = 0;
    for (int owner = 0; owner < num_ranks; ++owner) {
      const DispatchRound& round = plans[static_cast<size_t>(owner)].rounds[r];
      ASSERT_LE(round.num_sent(), limits.max_rows);
      ASSERT_LE(round.num_received(), limits.max_rows);
      if (!limits.max_experts.empty()) {
        ASSERT_LE(static_cast<int64_t>(round.slots.size()),
                  limits.max_experts[static_cast<size_t>(owner)]);
      }
      std::vector<GlobalCopy> received;
      for (int source = 0; source < num_ranks; ++source) {
        const DispatchRound& from = plans[static_cast<size_t>(source)].rounds[r];
        ASSERT_EQ(from.send_rows[static_cast<size_t>(owner)],
                  round.recv_rows[static_cast<size_t>(source)]);
        int64_t begin = 0;
        for (int rank = 0; rank < owner; ++rank) begin += from.send_rows[static_cast<size_t>(rank)];
        for (int64_t i = 0; i < from.send_rows[static_cast<size_t>(owner)]; ++i) {
          const int32_t copy = from.sent_copies[static_cast<size_t>(begin + i)];
          ASSERT_EQ(from.sent_tokens[static_cast<size_t>(begin + i)], copy / world.top_k);
          received.emplace_back(source, copy);
        }
      }
      moved += round.num_received();
      ASSERT_EQ(static_cast<int64_t>(received.size()), round.num_received());
      ASSERT_TRUE(std::ranges::is_sorted(round.slots));
      ASSERT_EQ(round.row_offsets.size(), round.slots.size() + 1);
      for (size_t g = 0; g < round.slots.size(); ++g) {
        slots_of_rank[static_cast<size_t>(owner)].push_back(round.slots[g]);
        for (int64_t i = round.row_offsets[g]; i < round.row_offsets[g + 1]; ++i) {
          const GlobalCopy copy =
              received[static_cast<size_t>(round.grouped_from[static_cast<size_t>(i)])];
          const int32_t instance =
              world.instances[static_cast<size_t>(copy.first)][static_cast<size_t>(copy.second)];
          ASSERT_EQ(instance - world.placement.first_instance(owner), round.slots[g]);
          ASSERT_TRUE(computed.insert(copy).second) << "computed twice";
        }
      }
    }
    ASSERT_GT(moved, 0) << "round " << r << " moves nothing";
  }
  size_t total = 0;
  for (const auto& of_rank : world.instances) total += of_rank.size();
  ASSERT_EQ(computed.size(), total);
  for (const std::vector<int64_t>& slots : slots_of_rank) {
    // Over all rounds: an expert is never opened again after a later one.
    ASSERT_TRUE(std::ranges::is_sorted(slots)) << "an expert is loaded twice";
  }
}

class DispatchPlanTest : public testing::TestWithParam<std::tuple<int, int64_t, double>> {};

TEST_P(DispatchPlanTest, EveryCopyIsComputedOnceWithinTheLimits) {
  const auto [num_ranks, num_experts, skew] = GetParam();
  for (const int64_t max_rows : {1, 3, 17, 1000}) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE(concat("max rows ", max_rows, ", seed ", seed));
      check_world(random_world(num_ranks, num_experts, skew, seed), {max_rows, {}});
    }
  }
}

TEST_P(DispatchPlanTest, AnOwnerHoldsNoMoreExpertsThanItAnnounced) {
  const auto [num_ranks, num_experts, skew] = GetParam();
  std::vector<int64_t> max_experts;
  for (int rank = 0; rank < num_ranks; ++rank) max_experts.push_back(1 + rank % 3);
  check_world(random_world(num_ranks, num_experts, skew, 7), {25, max_experts});
}

INSTANTIATE_TEST_SUITE_P(Worlds, DispatchPlanTest,
                         testing::Combine(testing::Values(1, 2, 3, 4, 7, 16),
                                          testing::Values<int64_t>(1, 2, 5, 8, 64),
                                          testing::Values(0.0, 0.5, 1.0)));

TEST(DispatchPlan, NoRowsAnywhereGiveNoRound) {
  const LayerPlacement placement = contiguous_placement(4, 2);
  const std::vector<int32_t> counts(8, 0);
  EXPECT_TRUE(plan_dispatch(placement, 0, counts, {}, 2, {10, {}}).rounds.empty());
}

TEST(DispatchPlan, OneRoundWhenEverythingFits) {
  const World world = random_world(4, 8, 0.0, 3);
  const std::vector<int32_t> counts = world.counts();
  EXPECT_EQ(
      plan_dispatch(world.placement, 0, counts, world.instances[0], 2, {1000, {}}).rounds.size(),
      1u);
}

TEST(DispatchPlan, CountsThatAreNotTheRanksOwnAreRefused) {
  const LayerPlacement placement = contiguous_placement(4, 2);
  const std::vector<int32_t> counts = {1, 0, 0, 0, 0, 0, 0, 0};
  const std::vector<int32_t> instances = {1};
  EXPECT_THROW(plan_dispatch(placement, 0, counts, instances, 1, {10, {}}), Error);
}

TEST(DispatchPlan, ExpertsOfARoundMayComeInAnyOrder) {
  DispatchRound round;
  round.slots = {2, 5, 7};
  round.row_offsets = {0, 2, 3, 6};
  round.grouped_from = {4, 1, 0, 9, 8, 7};
  const std::vector<int64_t> order = {7, 2, 5};
  reorder_experts(order, round);
  EXPECT_EQ(round.slots, order);
  EXPECT_EQ(round.row_offsets, (std::vector<int64_t>{0, 3, 5, 6}));
  EXPECT_EQ(round.grouped_from, (std::vector<int32_t>{9, 8, 7, 4, 1, 0}));
}

TEST(DispatchPlan, CopiesWithoutAnInstanceStayHome) {
  const LayerPlacement placement = contiguous_placement(2, 1);
  const std::vector<int32_t> instances = {-1, 1, -1, -1, 0, 1};
  const std::vector<int32_t> counts = count_instances(instances, 2);
  EXPECT_EQ(counts, (std::vector<int32_t>{1, 2}));
  const DispatchPlan plan = plan_dispatch(placement, 0, counts, instances, 2, {10, {}});
  ASSERT_EQ(plan.rounds.size(), 1u);
  EXPECT_EQ(plan.rounds[0].sent_copies, (std::vector<int32_t>{4, 1, 5}));
  EXPECT_EQ(plan.rounds[0].sent_tokens, (std::vector<int32_t>{2, 0, 2}));
}

TEST(LayerPlacement, ContiguousSharesDifferByAtMostOne) {
  for (const int ranks : {1, 2, 3, 5, 8, 64}) {
    for (const int64_t experts : {1, 6, 8, 512}) {
      const LayerPlacement placement = contiguous_placement(experts, ranks);
      EXPECT_EQ(placement.num_instances(), experts);
      int64_t smallest = experts;
      int64_t largest = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        smallest = std::min(smallest, placement.num_local_experts(rank));
        largest = std::max(largest, placement.num_local_experts(rank));
      }
      EXPECT_LE(largest - smallest, 1);
      for (int64_t expert = 0; expert < experts; ++expert) {
        EXPECT_EQ(placement.instance_for(expert, 1, 2, 1), expert);
        EXPECT_EQ(placement.expert_of(expert), expert);
      }
    }
  }
}

TEST(LayerPlacement, CopiesAreChosenByTheRowAlone) {
  const LayerPlacement placement({{0, 1}, {1}, {2, 0}}, 3);
  ASSERT_EQ(placement.num_instances(), 5);
  EXPECT_EQ(placement.num_local_experts(0), 2);
  EXPECT_EQ(placement.num_local_experts(1), 2);
  EXPECT_EQ(placement.num_local_experts(2), 1);
  std::set<int64_t> used;
  for (int64_t position = 0; position < 8; ++position) {
    const int64_t instance = placement.instance_for(0, 5, position, 0);
    EXPECT_EQ(placement.expert_of(instance), 0);
    EXPECT_EQ(instance, placement.instance_for(0, 5, position, 0));
    used.insert(placement.rank_of(instance));
  }
  EXPECT_EQ(used, (std::set<int64_t>{0, 1}));
}

TEST(LayerPlacement, WrongRanksAreRefusedByName) {
  EXPECT_THROW(LayerPlacement({{0}, {}}, 2), Error);
  EXPECT_THROW(LayerPlacement({{2}}, 2), Error);
  EXPECT_THROW(LayerPlacement({{-1}}, 2), Error);
  try {
    LayerPlacement({{0}, {1, 1}}, 2);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("expert 1 is on rank 1 twice"), std::string::npos);
  }
}

}  // namespace
}  // namespace switchyard
