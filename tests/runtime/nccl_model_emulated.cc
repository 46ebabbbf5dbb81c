// A whole model on emulated GPUs that exchange over the emulated NCCL: the CPU's bytes.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/log.h"
#include "parallel/nccl/nccl_transport.h"
#include "parallel/thread_communicator.h"
#include "runtime/generate.h"
#include "tests/cuda_emulation/nccl_faults.h"
#include "tests/cuda_emulation/runtime.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

/// Runs a command's work on ranks as threads, each with a GPU of its own.
template <typename Work>
void run_over_nccl(int num_ranks, const Work& work) {
  set_log_level(LogLevel::kError);
  ThreadWorld world(num_ranks);
  const auto run_rank = [&](int rank) {
    try {
      const std::unique_ptr<Backend> backend =
          make_backend({.kind = BackendKind::kCuda, .device = rank});
      const std::unique_ptr<Communicator> communicator = make_nccl_communicator(
          world.communicator(rank, *backend), *backend, {.deadline_seconds = 60.0});
      NoProgress progress;
      work(*backend, *communicator, progress);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "rank " << rank << ": " << error.what();
      world.fail(error.what());
    }
  };
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) threads.emplace_back(run_rank, rank);
}

RunOptions gpu_options(const ScoreSetup& setup) {
  RunOptions options = run_options(setup);
  options.numerics = "cpu-fp32";
  return options;
}

std::string score_over_nccl(const ScoreSetup& setup) {
  const TemporaryFile out("out.jsonl");
  ScoreOptions options;
  options.run = gpu_options(setup);
  options.input = input_path(setup);
  options.output = out.path();
  run_over_nccl(setup.num_ranks,
                [&](Backend& backend, Communicator& ranks, ProgressSink& progress) {
                  run_score(options, backend, ranks, progress);
                });
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

/// Generates on one CPU, or on GPUs over NCCL.
std::string generate(const ScoreSetup& setup, DecodeGraphs graphs) {
  const TemporaryFile out("out.jsonl");
  GenerateOptions options;
  options.run = setup.num_ranks == 1 ? run_options(setup) : gpu_options(setup);
  options.run.graphs = graphs;
  options.input = input_path(setup);
  options.output = out.path();
  options.rules.max_new_tokens = 12;
  options.rules.logprobs = TokenLogprobs::kAdded;
  const auto work = [&](Backend& backend, Communicator& ranks, ProgressSink& progress) {
    run_generate(options, backend, ranks, progress);
  };
  if (setup.num_ranks == 1) {
    run_as_threads(setup, work);
  } else {
    run_over_nccl(setup.num_ranks, work);
  }
  return out.contents();
}

TEST(NcclGenerateTest, RecordedStepsWithExchangesBetweenGiveTheBytesOfOneCpu) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = "requests_generate.jsonl";
  const std::string expected = generate(setup, DecodeGraphs::kOff);
  setup.num_ranks = 3;
  const int64_t launches = cuda_emulation::num_graph_launches();
  EXPECT_EQ(generate(setup, DecodeGraphs::kOff), expected);
  EXPECT_EQ(cuda_emulation::num_graph_launches(), launches);
  EXPECT_EQ(generate(setup, DecodeGraphs::kAuto), expected);
  // An exchange there and back in each of the two MoE layers cuts a step into five graphs.
  EXPECT_GE(cuda_emulation::num_graph_launches(), launches + 5);
  EXPECT_EQ((cuda_emulation::num_graph_launches() - launches) % 5, 0);
}

}  // namespace
}  // namespace switchyard
