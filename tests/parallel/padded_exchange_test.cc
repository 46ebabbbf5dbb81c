// Rows that only the device counts, on threads, with "experts" whose outputs tell who computed
// what.
#include "parallel/padded_exchange.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "parallel/thread_communicator.h"
#include "parallel/token_dispatcher.h"
#include "tests/parallel/exchange_scenario.h"

namespace switchyard {
namespace {

int64_t most_tokens(const Scenario& scenario) {
  int64_t most = 0;
  for (int rank = 0; rank < scenario.num_ranks; ++rank) {
    most = std::max(most, scenario.num_tokens(rank));
  }
  return most;
}

/// The experts of a step on the host.
void run_experts(const LayerPlacement& placement, int rank, const TensorView& row_offsets,
                 Backend& backend, Stream& compute, const TensorView& grouped) {
  std::vector<int32_t> offsets(static_cast<size_t>(row_offsets.shape[0]));
  std::vector<float> values(static_cast<size_t>(grouped.shape.num_elements()));
  backend.copy_to_host(compute, row_offsets, offsets.data());
  backend.copy_to_host(compute, grouped, values.data());
  backend.record(compute).synchronize();
  for (size_t local = 0; local + 1 < offsets.size(); ++local) {
    const int64_t expert =
        placement.expert_of(placement.first_instance(rank) + static_cast<int64_t>(local));
    for (int64_t i = offsets[local] * kWidth; i < offsets[local + 1] * kWidth; ++i) {
      float& value = values[static_cast<size_t>(i)];
      value = Scenario::output(expert, value);
    }
  }
  backend.copy_to_device(compute, values.data(), grouped);
  backend.record(compute).synchronize();
}

void check_rank(const Scenario& scenario, Backend& backend, Communicator& world) {
  const int rank = world.rank();
  const std::vector<LayerPlacement> placements = {contiguous_placement(1, scenario.num_ranks),
                                                  scenario.placement()};
  Stream compute = backend.make_stream(StreamKind::kCompute);
  Stream exchange = backend.make_stream(StreamKind::kExchange);
  TokenDispatcher dispatcher(backend, world, compute, exchange, {kWidth, scenario.max_rows});
  GraphRecorder recorder(backend, compute);
  PaddedExchange padded(backend, world, compute, exchange, recorder, *dispatcher.padded_buffers(),
                        placements);
  const int64_t tokens = scenario.num_tokens(rank);
  const int64_t copies = tokens * scenario.top_k;
  const PaddedStep step = {1, scenario.top_k, most_tokens(scenario)};
  ASSERT_TRUE(padded.fits(step));
  const std::vector<float> values = scenario.values_of(rank);
  const std::vector<int32_t> choices = scenario.experts_of(rank);
  const Tensor x = backend.allocate_tensor(DType::kF32, {tokens, kWidth});
  const Tensor idx = backend.allocate_tensor(DType::kI32, {tokens, scenario.top_k});
  const Tensor returned = backend.allocate_tensor(DType::kF32, {copies, kWidth});
  const Tensor grouped =
      backend.allocate_tensor(DType::kF32, {padded.most_grouped_rows(step) + 1, kWidth});
  const TensorView rows = grouped.view().rows(0, padded.most_grouped_rows(step));
  for (int64_t turn = 0; turn < 2; ++turn) {  // again in the same buffers
    if (tokens > 0) {
      backend.copy_to_device(compute, values.data(), x.view());
      backend.copy_to_device(compute, choices.data(), idx.view());
    }
    const CollectiveLabel label = {turn, 0, -1, "test"};
    padded.dispatch(step, idx.view(), x.view(), grouped.view(), label);
    run_experts(placements[1], rank, padded.row_offsets(1), backend, compute, rows);
    padded.combine(step, rows, returned.view(), label);
    std::vector<float> got(static_cast<size_t>(copies * kWidth));
    if (tokens > 0) backend.copy_to_host(compute, returned.view(), got.data());
    backend.record(compute).synchronize();
    scenario.check_returned(rank, got);
  }
}

class PaddedExchangeTest : public testing::TestWithParam<std::tuple<BackendKind, int, Routing>> {};

TEST_P(PaddedExchangeTest, EveryRowComesHomeFromItsExpert) {
  const auto [kind, num_ranks, routing] = GetParam();
  // More ranks than experts; headers of several rows.
  for (const int64_t experts : {2, 8, 40}) {
    for (const int64_t top_k : {1, 3}) {
      Scenario scenario = {num_ranks, experts, 3000, routing, static_cast<uint64_t>(experts)};
      scenario.top_k = top_k;
      scenario.has_drops = top_k == 3;
      BackendOptions backend;
      backend.kind = kind;
      run_ranks(num_ranks, {}, backend,
                [&](Backend& device, Communicator& world) { check_rank(scenario, device, world); });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, PaddedExchangeTest,
                         testing::Combine(testing::Values(BackendKind::kCpu, BackendKind::kStrict),
                                          testing::Values(1, 2, 3, 4, 16),
                                          testing::Values(Routing::kUniform, Routing::kAllToOne,
                                                          Routing::kNoRows)));

TEST(PaddedExchange, FitsUpToTheBuffersSize) {
  // 2 ranks with 2 experts each in rows of 3 numbers: a header row each; then 2 choices a token.
  const std::vector<LayerPlacement> placements = {contiguous_placement(4, 2)};
  run_ranks(2, {}, {}, [&](Backend& backend, Communicator& world) {
    Stream compute = backend.make_stream(StreamKind::kCompute);
    Stream exchange = backend.make_stream(StreamKind::kExchange);
    TokenDispatcher dispatcher(backend, world, compute, exchange, {kWidth, 22});
    GraphRecorder recorder(backend, compute);
    const PaddedExchange padded(backend, world, compute, exchange, recorder,
                                *dispatcher.padded_buffers(), placements);
    EXPECT_TRUE(padded.fits({0, 2, 5}));
    EXPECT_FALSE(padded.fits({0, 2, 6}));
    EXPECT_EQ(padded.most_grouped_rows({0, 2, 5}), 20);
    EXPECT_EQ(padded.bytes_sent({0, 2, 5}), 20 * kWidth * 4);
    // Offsets of 2 experts, instances of 4, where 3 ranks' begin.
    EXPECT_EQ(PaddedExchange::table_bytes(placements, world.rank()), (3 + 4 + 3) * 4);
  });
}

TEST(PaddedExchange, ObstaclesAreNamed) {
  EXPECT_EQ(padding_obstacle({}), std::nullopt);
  const auto obstacle = [](auto change) {
    PaddingConditions conditions;
    change(conditions);
    return padding_obstacle(conditions).value_or("");
  };
  EXPECT_NE(obstacle([](auto& c) { c.is_direct = false; }).find("gateways"), std::string::npos);
  EXPECT_NE(obstacle([](auto& c) { c.is_resident = false; }).find("pages"), std::string::npos);
  EXPECT_NE(obstacle([](auto& c) { c.has_capacity = true; }).find("capacity"), std::string::npos);
  EXPECT_NE(obstacle([](auto& c) { c.has_copies = true; }).find("several ranks"),
            std::string::npos);
  EXPECT_NE(obstacle([](auto& c) { c.is_uneven = true; }).find("size"), std::string::npos);
  EXPECT_NE(obstacle([](auto& c) { c.counts_on_device = false; }).find("library"),
            std::string::npos);
}

}  // namespace
}  // namespace switchyard
