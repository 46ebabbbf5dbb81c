// Rows through the dispatcher on threads, with "experts" whose outputs tell who computed what.
#include "parallel/token_dispatcher.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "parallel/gateway_plan.h"
#include "parallel/thread_communicator.h"
#include "parallel/two_level_dispatcher.h"
#include "tests/parallel/exchange_scenario.h"

namespace switchyard {
namespace {

/// The experts of a round on the host: rows in, rows out, through copies as a device needs them.
void run_experts(const DispatchRound& round, const LayerPlacement& placement, int rank,
                 Backend& backend, Stream& compute, const TensorView& in, const TensorView& out) {
  const int64_t rows = round.num_received();
  if (rows == 0) return;
  std::vector<float> values(static_cast<size_t>(rows * kWidth));
  backend.copy_to_host(compute, in.rows(0, rows), values.data());
  backend.record(compute).synchronize();
  for (size_t g = 0; g < round.slots.size(); ++g) {
    for (int64_t i = round.row_offsets[g] * kWidth; i < round.row_offsets[g + 1] * kWidth; ++i) {
      float& value = values[static_cast<size_t>(i)];
      value = Scenario::output(placement.expert_of(placement.first_instance(rank) + round.slots[g]),
                               value);
    }
  }
  backend.copy_to_device(compute, values.data(), out.rows(0, rows));
  backend.record(compute).synchronize();
}

std::unique_ptr<RowExchange> make_exchange(const Scenario& scenario, Backend& backend,
                                           Communicator& world, Stream& compute, Stream& exchange) {
  const DispatcherSizes sizes = {kWidth, scenario.max_rows};
  if (scenario.nodes.empty()) {
    return std::make_unique<TokenDispatcher>(backend, world, compute, exchange, sizes);
  }
  return std::make_unique<TwoLevelDispatcher>(backend, world, NodeMap(scenario.nodes), compute,
                                              exchange, sizes);
}

/// The rows across nodes by brute force, if all fit one round: a token once to each other node,
/// each choice back.
void check_counts(const Scenario& scenario, const DispatchPlan& plan, int rank) {
  const LayerPlacement placement = scenario.placement();
  const NodeMap nodes(scenario.nodes);
  int64_t across = 0;
  for (int source = 0; source < scenario.num_ranks; ++source) {
    for (int64_t token = 0; token < scenario.num_tokens(source); ++token) {
      std::set<int> reached;
      for (int64_t k = 0; k < scenario.top_k; ++k) {
        const int64_t instance = scenario.instance(placement, source, token, k);
        if (instance < 0) continue;
        const int node = nodes.node(placement.rank_of(instance));
        if (node == nodes.node(source)) continue;
        across += source == rank && reached.insert(node).second ? 1 : 0;
        across += nodes.gateway(source, node) == rank ? 1 : 0;
      }
    }
  }
  EXPECT_EQ(count_rows(nodes, rank, plan).across, across);
}

void check_rank(const Scenario& scenario, Backend& backend, Communicator& world) {
  const int rank = world.rank();
  const LayerPlacement placement = scenario.placement();
  Stream compute = backend.make_stream(StreamKind::kCompute);
  Stream exchange = backend.make_stream(StreamKind::kExchange);
  const std::unique_ptr<RowExchange> owned =
      make_exchange(scenario, backend, world, compute, exchange);
  RowExchange& dispatcher = *owned;
  for (const WarmUpPhase& phase : dispatcher.warm_up_phases(4)) phase.run({.phase = phase.name});
  const int64_t tokens = scenario.num_tokens(rank);
  const std::vector<float> values = scenario.values_of(rank);
  std::vector<int32_t> instances;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t k = 0; k < scenario.top_k; ++k) {
      instances.push_back(static_cast<int32_t>(scenario.instance(placement, rank, token, k)));
    }
  }
  const Tensor x = backend.allocate_tensor(DType::kF32, {tokens + 1, kWidth});
  const Tensor in = backend.allocate_tensor(DType::kF32, {scenario.max_rows, kWidth});
  const Tensor out = backend.allocate_tensor(DType::kF32, {scenario.max_rows, kWidth});
  const Tensor returned =
      backend.allocate_tensor(DType::kF32, {tokens * scenario.top_k + 1, kWidth});
  if (tokens > 0) backend.copy_to_device(compute, values.data(), x.view().rows(0, tokens));
  const CollectiveLabel label = {0, 0, -1, "test"};
  const DispatchPlan plan =
      dispatcher.plan(placement, instances, scenario.top_k, {}, label, nullptr);
  const int rounds = static_cast<int>(plan.rounds.size());
  if (!scenario.nodes.empty() && rounds == 1) check_counts(scenario, plan, rank);
  if (rounds > 0) dispatcher.dispatch(plan, 0, x.view(), label);
  for (int r = 0; r < rounds; ++r) {
    if (r + 1 < rounds) dispatcher.dispatch(plan, r + 1, x.view(), label);
    dispatcher.receive(plan, r, in.view());
    run_experts(plan.rounds[static_cast<size_t>(r)], placement, rank, backend, compute, in.view(),
                out.view());
    dispatcher.give_back(plan, r, out.view(), label);
    if (r > 0) dispatcher.take_back(plan, r - 1, returned.view());
  }
  if (rounds > 0) dispatcher.take_back(plan, rounds - 1, returned.view());
  std::vector<float> got(static_cast<size_t>(tokens * scenario.top_k * kWidth));
  if (tokens > 0) {
    backend.copy_to_host(compute, returned.view().rows(0, tokens * scenario.top_k), got.data());
  }
  backend.record(compute).synchronize();
  scenario.check_returned(rank, got);
}

class TokenDispatcherTest : public testing::TestWithParam<std::tuple<BackendKind, int, Routing>> {};

TEST_P(TokenDispatcherTest, EveryRowComesHomeFromItsExpert) {
  const auto [kind, num_ranks, routing] = GetParam();
  // More ranks than experts, and rounds from many to one.
  for (const int64_t experts : {2, 8}) {
    for (const int64_t max_rows : {2, 7, 2000}) {
      const Scenario scenario = {num_ranks, experts, max_rows, routing,
                                 static_cast<uint64_t>(max_rows + experts)};
      BackendOptions backend;
      backend.kind = kind;
      run_ranks(num_ranks, {}, backend,
                [&](Backend& device, Communicator& world) { check_rank(scenario, device, world); });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, TokenDispatcherTest,
                         testing::Combine(testing::Values(BackendKind::kCpu, BackendKind::kStrict),
                                          testing::Values(1, 2, 3, 4, 16),
                                          testing::Values(Routing::kUniform, Routing::kAllToOne,
                                                          Routing::kNoRows)));

class TwoLevelTest
    : public testing::TestWithParam<std::tuple<BackendKind, std::vector<int>, Routing>> {};

TEST_P(TwoLevelTest, EveryRowComesHomeFromItsExpert) {
  const auto& [kind, nodes, routing] = GetParam();
  for (const int64_t top_k : {1, 3, 8}) {
    for (const int64_t max_rows : {5, 40, 2000}) {
      Scenario scenario = {static_cast<int>(nodes.size()),          9,     max_rows, routing,
                           static_cast<uint64_t>(max_rows + top_k), nodes, top_k};
      scenario.has_drops = top_k == 3;
      scenario.is_scattered = max_rows != 40;
      BackendOptions backend;
      backend.kind = kind;
      run_ranks(scenario.num_ranks, {}, backend,
                [&](Backend& device, Communicator& world) { check_rank(scenario, device, world); });
    }
  }
}

// One rank; one node; one rank a node; even, uneven and interleaved nodes.
INSTANTIATE_TEST_SUITE_P(
    Threads, TwoLevelTest,
    testing::Combine(testing::Values(BackendKind::kCpu, BackendKind::kStrict),
                     testing::Values(std::vector<int>{0}, std::vector<int>{0, 0, 0},
                                     std::vector<int>{0, 1, 2}, std::vector<int>{0, 0, 1, 1},
                                     std::vector<int>{0, 1, 0, 1, 1, 1, 0},
                                     std::vector<int>{0, 0, 0, 0, 0, 1, 1, 2}),
                     testing::Values(Routing::kUniform, Routing::kAllToOne, Routing::kNoRows)));

TEST(TokenDispatcher, SixtyFourRanks) {
  const Scenario scenario = {64, 8, 20, Routing::kUniform, 5};
  run_ranks(64, {}, {},
            [&](Backend& device, Communicator& world) { check_rank(scenario, device, world); });
}

}  // namespace
}  // namespace switchyard
