// Results do not depend on where experts are kept: every budget, policy and prefetch against
// everything resident.
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/generate.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

class PagedScoreTest : public testing::TestWithParam<const char*> {
 protected:
  PagedScoreTest() {
    setup_.model = GetParam();
    if (setup_.model == "trained_moe_8e") setup_.input = "requests_token_ids.jsonl";
    expected_ = score(setup_);
    setup_.max_batch_tokens = 100;  // several steps
  }

  void expect_same_bytes() {
    EXPECT_TRUE(score(setup_) == expected_) << "different bytes: " << setup_.text();
  }

  ScoreSetup setup_;
  std::string expected_;
};

TEST_P(PagedScoreTest, AnyBudgetFromOneSlotUpAndAnyPolicy) {
  for (const int64_t slots : {1, 2, 3, 5, 8, 13}) {
    for (const Prefetch prefetch : {Prefetch::kOff, Prefetch::kOn, Prefetch::kAuto}) {
      setup_.tiers.expert_slots = slots;
      setup_.tiers.prefetch = prefetch;
      setup_.tiers.policy = slots % 2 == 0 ? CachePolicy::kLfu : CachePolicy::kLru;
      setup_.tiers.scope = slots >= 5 ? CacheScope::kLayer : CacheScope::kGlobal;
      expect_same_bytes();
    }
  }
}

TEST_P(PagedScoreTest, AnyRanksRoundsAndThreadsThatLoad) {
  for (const int ranks : {2, 3, 4}) {
    setup_.num_ranks = ranks;
    setup_.tiers.expert_slots = ranks - 1;
    setup_.tiers.load_threads = ranks;
    setup_.exchange_buffer_bytes = int64_t{20000} * ranks;
    expect_same_bytes();
  }
}

TEST_P(PagedScoreTest, AHostTierOfAnySize) {
  setup_.tiers.expert_slots = 2;
  for (const int64_t bytes : {100'000, 1'000'000, 1'000'000'000}) {
    setup_.tiers.host_budget = bytes;
    expect_same_bytes();
  }
}

TEST_P(PagedScoreTest, TheStrictBackendUnderManySchedules) {
  setup_.backend = BackendKind::kStrict;
  setup_.tiers.host_budget = 200'000;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    setup_.seed = seed;
    setup_.num_ranks = 1 + static_cast<int>(seed % 3);
    setup_.tiers.expert_slots = static_cast<int64_t>(seed);
    expect_same_bytes();
  }
}

INSTANTIATE_TEST_SUITE_P(Models, PagedScoreTest,
                         testing::Values("trained_moe_8e", "fairseq/arch_odd_sizes",
                                         "hf/llama-moe-v1-uneven", "hf/gpt-oss-mxfp4"));

std::string generate_paged(const ScoreSetup& run, int64_t batch_size) {
  const TemporaryFile out("out.jsonl");
  GenerateOptions options;
  options.run = run_options(run);
  options.input = input_path(run);
  options.output = out.path();
  options.batch.batch_size = batch_size;
  run_as_threads(run, [&](Backend& device, Communicator& ranks, ProgressSink& progress) {
    run_generate(options, device, ranks, progress);
  });
  return out.contents();
}

TEST(PagedGenerate, DecodingGivesTheSameTokens) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = "requests_generate.jsonl";
  const std::string expected = generate_paged(setup, 4);
  for (const CachePolicy policy : {CachePolicy::kLru, CachePolicy::kLfu}) {
    for (const CacheScope scope : {CacheScope::kGlobal, CacheScope::kLayer}) {
      for (const Prefetch prefetch : {Prefetch::kOff, Prefetch::kOn, Prefetch::kAuto}) {
        for (const int64_t slots : {2, 6}) {
          setup.tiers.policy = policy;
          setup.tiers.scope = scope;
          setup.tiers.prefetch = prefetch;
          setup.tiers.expert_slots = slots;
          setup.num_ranks = 1 + static_cast<int>(slots) / 4;
          EXPECT_TRUE(generate_paged(setup, 1 + slots) == expected) << setup.text();
        }
      }
    }
  }
}

TEST(PagedScore, ABudgetTooSmallNamesTheSmallest) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = "requests_token_ids.jsonl";
  setup.tiers.expert_budget = 1000;
  expect_error(ErrorKind::kUsage,
               {"--expert-budget", "1000 bytes", "holds 0 experts", "give at least"},
               [&] { score(setup); });
  setup.tiers.expert_budget.reset();
  setup.tiers.expert_slots = 1;
  setup.tiers.scope = CacheScope::kLayer;
  expect_error(ErrorKind::kUsage, {"--expert-slots 1", "give at least"}, [&] { score(setup); });
}

/// Two threads load experts, and each opens a file when it first reads of it: one that had it open
/// finds its bytes gone, one that opens it finds another file. Both say that it was changed.
TEST(PagedScore, AFileThatIsCutWhileItIsPagedEndsTheRun) {
  const fs::path folder = fs::temp_directory_path() / concat("switchyard-cut-", getpid());
  fs::remove_all(folder);
  fs::copy(test_data("trained_moe_8e"), folder);
  ScoreSetup setup;
  setup.model = folder.string();
  setup.input = "requests_token_ids.jsonl";
  setup.max_batch_tokens = 64;
  setup.tiers.expert_slots = 1;
  setup.tiers.prefetch = Prefetch::kOff;
  class Cutter : public ProgressSink {
   public:
    explicit Cutter(fs::path path) : path_(std::move(path)) {}
    void start() override {}
    void update(const Progress& progress) override {
      if (progress.requests_done > 0) fs::resize_file(path_, 4096);
    }
    void finish(const Progress&) override {}

   private:
    fs::path path_;
  };
  const fs::path last = folder / "model-rank-3.pt";
  const TemporaryFile out("out.jsonl");
  ScoreOptions options;
  options.run = run_options(setup);
  options.input = input_path(setup);
  options.output = out.path();
  Cutter cutter(last);
  expect_error(ErrorKind::kInput, {last.string(), "change"}, [&] {
    run_as_threads(setup, [&](Backend& device, Communicator& ranks, ProgressSink&) {
      run_score(options, device, ranks, cutter);
    });
  });
  fs::remove_all(folder);
}

}  // namespace
}  // namespace switchyard
