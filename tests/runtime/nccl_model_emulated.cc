// A whole model on emulated GPUs that exchange over the emulated NCCL: the CPU's bytes.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/log.h"
#include "parallel/nccl/nccl_transport.h"
#include "parallel/thread_communicator.h"
#include "tests/cuda_emulation/nccl_faults.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

std::string score_over_nccl(const ScoreSetup& setup) {
  set_log_level(LogLevel::kError);
  const TemporaryFile out("out.jsonl");
  ScoreOptions options;
  options.run = run_options(setup);
  options.run.numerics = "cpu-fp32";
  options.input = input_path(setup);
  options.output = out.path();
  ThreadWorld world(setup.num_ranks);
  const auto run_rank = [&](int rank) {
    try {
      const std::unique_ptr<Backend> backend =
          make_backend({.kind = BackendKind::kCuda, .device = rank});
      const std::unique_ptr<Communicator> communicator = make_nccl_communicator(
          world.communicator(rank, *backend), *backend, {.deadline_seconds = 60.0});
      NoProgress progress;
      run_score(options, *backend, *communicator, progress);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "rank " << rank << ": " << error.what();
      world.fail(error.what());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < setup.num_ranks; ++rank) threads.emplace_back(run_rank, rank);
  }
  return out.contents();
}

TEST(NcclScoreTest, GpusOverNcclGiveTheBytesOfOneCpu) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = "requests_pairs_token_ids.jsonl";
  const std::string expected = score(setup);
  const int64_t overlaps = nccl_emulation::num_overlaps();
  setup.num_ranks = 3;
  // Enough for a few rows: layers take many rounds, whose exchanges overlap with computing.
  setup.exchange_buffer_bytes = 128 << 10;
  setup.max_batch_tokens = 512;
  EXPECT_EQ(score_over_nccl(setup), expected);
  // All at once, counted on the device.
  setup.exchange_buffer_bytes = 64 << 20;
  setup.exchange.layout = ExchangeLayout::kPadded;
  EXPECT_EQ(score_over_nccl(setup), expected);
  EXPECT_EQ(nccl_emulation::num_overlaps(), overlaps);
  EXPECT_EQ(nccl_emulation::num_alive(), 0);
}

}  // namespace
}  // namespace switchyard
