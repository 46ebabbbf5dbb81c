// Rows through the dispatcher on threads, with "experts" whose outputs tell who computed what.
#include "parallel/token_dispatcher.h"

#include <gtest/gtest.h>

#include <random>
#include <tuple>
#include <vector>

#include "parallel/thread_communicator.h"

namespace switchyard {
namespace {

constexpr int64_t kWidth = 3;
constexpr int64_t kTopK = 2;

enum class Routing { kUniform, kAllToOne, kNoRows };

/// What every rank can compute about every other: the rows of a step from ids alone.
struct Scenario {
  int num_ranks;
  int64_t num_experts;
  int64_t max_rows;  // of a round
  Routing routing;
  uint64_t seed;

  int64_t num_tokens(int rank) const {
    if (routing == Routing::kNoRows || rank % 3 == 1) return 0;
    return 1 + static_cast<int64_t>((seed + static_cast<uint64_t>(rank) * 7) % 13);
  }
  int64_t expert(int rank, int64_t token, int64_t k) const {
    if (routing == Routing::kAllToOne) return k % num_experts;
    std::mt19937_64 random(seed * 1000003 + static_cast<uint64_t>(rank * 101 + token * 7 + k));
    return static_cast<int64_t>(random() % static_cast<uint64_t>(num_experts));
  }
  float value(int rank, int64_t token, int64_t column) const {
    return static_cast<float>(rank * 1000 + token * 10 + column);
  }
  /// What expert e makes of a value.
  static float output(int64_t expert, float value) {
    return value + static_cast<float>(expert + 1) * 100000.0f;
  }
};

/// The experts of a round on the host: rows in, rows out, through copies as a device needs them.
void run_experts(const DispatchRound& round, int64_t first_expert, Backend& backend,
                 Stream& compute, const TensorView& in, const TensorView& out) {
  const int64_t rows = round.num_received();
  if (rows == 0) return;
  std::vector<float> values(static_cast<size_t>(rows * kWidth));
  backend.copy_to_host(compute, in.rows(0, rows), values.data());
  backend.record(compute).synchronize();
  for (size_t g = 0; g < round.slots.size(); ++g) {
    for (int64_t i = round.row_offsets[g] * kWidth; i < round.row_offsets[g + 1] * kWidth; ++i) {
      float& value = values[static_cast<size_t>(i)];
      value = Scenario::output(first_expert + round.slots[g], value);
    }
  }
  backend.copy_to_device(compute, values.data(), out.rows(0, rows));
  backend.record(compute).synchronize();
}

void check_rank(const Scenario& scenario, Backend& backend, Communicator& world) {
  const int rank = world.rank();
  const LayerPlacement placement = contiguous_placement(scenario.num_experts, scenario.num_ranks);
  Stream compute = backend.make_stream(StreamKind::kCompute);
  Stream exchange = backend.make_stream(StreamKind::kExchange);
  TokenDispatcher dispatcher(backend, world, compute, exchange, {kWidth, scenario.max_rows});
  const int64_t tokens = scenario.num_tokens(rank);
  std::vector<float> values;
  std::vector<int32_t> instances;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t column = 0; column < kWidth; ++column) {
      values.push_back(scenario.value(rank, token, column));
    }
    for (int64_t k = 0; k < kTopK; ++k) {
      instances.push_back(static_cast<int32_t>(scenario.expert(rank, token, k)));
    }
  }
  const Tensor x = backend.allocate_tensor(DType::kF32, {tokens + 1, kWidth});
  const Tensor in = backend.allocate_tensor(DType::kF32, {scenario.max_rows, kWidth});
  const Tensor out = backend.allocate_tensor(DType::kF32, {scenario.max_rows, kWidth});
  const Tensor returned = backend.allocate_tensor(DType::kF32, {tokens * kTopK + 1, kWidth});
  if (tokens > 0) backend.copy_to_device(compute, values.data(), x.view().rows(0, tokens));
  const CollectiveLabel label = {0, 0, -1, "test"};
  const DispatchPlan plan = dispatcher.plan(placement, instances, kTopK, {}, label);
  const int rounds = static_cast<int>(plan.rounds.size());
  if (rounds > 0) dispatcher.dispatch(plan, 0, x.view(), label);
  for (int r = 0; r < rounds; ++r) {
    if (r + 1 < rounds) dispatcher.dispatch(plan, r + 1, x.view(), label);
    dispatcher.receive(plan, r, in.view());
    run_experts(plan.rounds[static_cast<size_t>(r)], placement.first_instance(rank), backend,
                compute, in.view(), out.view());
    dispatcher.give_back(plan, r, out.view(), label);
    if (r > 0) dispatcher.take_back(plan, r - 1, returned.view());
  }
  if (rounds > 0) dispatcher.take_back(plan, rounds - 1, returned.view());
  std::vector<float> got(static_cast<size_t>(tokens * kTopK * kWidth));
  if (tokens > 0) {
    backend.copy_to_host(compute, returned.view().rows(0, tokens * kTopK), got.data());
  }
  backend.record(compute).synchronize();
  size_t next = 0;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t k = 0; k < kTopK; ++k) {
      for (int64_t column = 0; column < kWidth; ++column, ++next) {
        ASSERT_EQ(got[next], Scenario::output(scenario.expert(rank, token, k),
                                              scenario.value(rank, token, column)))
            << "rank " << rank << ", token " << token << ", choice " << k;
      }
    }
  }
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

TEST(TokenDispatcher, SixtyFourRanks) {
  const Scenario scenario = {64, 8, 20, Routing::kUniform, 5};
  run_ranks(64, {}, {},
            [&](Backend& device, Communicator& world) { check_rank(scenario, device, world); });
}

}  // namespace
}  // namespace switchyard
