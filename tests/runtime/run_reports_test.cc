// --stats and --trace of whole runs.
#include "runtime/run_report/run_reports.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "runtime/cache_simulation.h"
#include "runtime/run_report/trace_file.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// Scores with the trained model on `num_ranks` ranks, its experts in tiers as asked.
void run_with_reports(int num_ranks, const std::string& output, const std::string& stats,
                      const std::string& trace, const TierOptions& tiers = {}) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = "requests_token_ids.jsonl";
  setup.num_ranks = num_ranks;
  setup.max_batch_tokens = 64;
  ScoreOptions options;
  options.run = run_options(setup);
  options.run.command = "score";
  options.run.tiers = tiers;
  options.run.stats_file = stats;
  options.run.trace_file = trace;
  options.input = input_path(setup);
  options.output = output;
  run_as_threads(setup, [&](Backend& device, Communicator& ranks, ProgressSink& progress) {
    run_score(options, device, ranks, progress);
  });
}

TEST(RunReports, TellWhatEveryRankDid) {
  for (const int num_ranks : {1, 3}) {
    const TempFolder folder;
    run_with_reports(num_ranks, folder.path("out.jsonl"), folder.path("stats.json"),
                     folder.path("trace.json"));
    const StatsFile stats = read_stats_file(folder.path("stats.json"));
    EXPECT_EQ(stats.run.command, "score");
    EXPECT_EQ(stats.run.family, "fairseq");
    EXPECT_EQ(stats.run.moe_layers, (std::vector<int64_t>{1, 3}));
    EXPECT_EQ(stats.run.num_experts, (std::vector<int64_t>{8, 8}));
    EXPECT_GT(stats.run.steps, 0);
    ASSERT_EQ(stats.ranks.size(), static_cast<size_t>(num_ranks));
    int64_t rows = 0;
    int64_t choices = 0;
    for (const RankStats& rank : stats.ranks) {
      EXPECT_FALSE(rank.host.empty());
      rows += rank.rows;
      choices += rank.choices[1];
    }
    EXPECT_EQ(choices, 2 * rows);  // two experts a row
    const TraceFile trace = read_trace_file(folder.path("trace.json"));
    EXPECT_EQ(trace.fingerprint, stats.run.fingerprint);
    ASSERT_EQ(trace.ranks.size(), static_cast<size_t>(num_ranks));
    for (size_t rank = 0; rank < trace.ranks.size(); ++rank) {
      std::set<std::string> phases;
      std::set<int> layers;
      double seconds = 0.0;
      for (const TraceEvent& event : trace.ranks[rank].events) {
        if (event.track != TraceTrack::kCompute) continue;
        EXPECT_GE(event.begin, 0.0);
        phases.insert(event.name);
        layers.insert(event.layer);
        seconds += event.end - event.begin;
      }
      EXPECT_TRUE(phases.contains("experts") && phases.contains("idle")) << rank;
      EXPECT_EQ(layers, (std::set<int>{-1, 0, 1, 2, 3}));
      double expected = 0.0;
      for (const double phase : stats.ranks[rank].seconds) expected += phase;
      EXPECT_NEAR(seconds, expected, 1e-3 * expected + 1e-4);
    }
  }
}

TEST(RunReports, TellTheNextRunWhichExpertsAreHot) {
  const TempFolder folder;
  const std::string lru_stats = folder.path("lru.json");
  TierOptions tiers;
  tiers.expert_slots = 5;
  tiers.prefetch = Prefetch::kOff;
  run_with_reports(2, folder.path("lru.jsonl"), lru_stats, "", tiers);
  const StatsFile lru = read_stats_file(lru_stats);
  int64_t rows = 0;
  for (const RankStats& rank : lru.ranks) {
    const ExpertAccount total = total_of(rank.cache);
    EXPECT_EQ(rank.cache.num_slots, 5);
    EXPECT_EQ(num_experts(rank.cache), 8);
    EXPECT_GT(total.misses(), 0);
    EXPECT_GE(total.loads, total.misses());
    EXPECT_GT(rank.cache.files.bytes, 0);
    // All that was used was logged, so that a simulation sees what the cache saw.
    const std::vector<std::vector<int64_t>> logged = count_uses(use_log(rank.cache));
    for (size_t layer = 0; layer < logged.size(); ++layer) {
      for (size_t i = 0; i < logged[layer].size(); ++i) {
        EXPECT_EQ(logged[layer][i], rank.cache.experts[layer][i].uses);
        rows += rank.cache.experts[layer][i].rows;
      }
    }
  }
  int64_t expected_rows = 0;
  for (const RankStats& rank : lru.ranks) {
    for (const int64_t choices : rank.choices) expected_rows += choices;
  }
  EXPECT_EQ(rows, expected_rows);

  tiers.policy = CachePolicy::kStatic;
  tiers.hot_experts = lru_stats;
  run_with_reports(2, folder.path("static.jsonl"), folder.path("static.json"), "", tiers);
  EXPECT_EQ(read_stats_file(folder.path("static.json")).ranks[0].cache.policy,
            CachePolicy::kStatic);
  EXPECT_EQ(folder.read("static.jsonl"), folder.read("lru.jsonl"));
  tiers.hot_experts = folder.write("other.json", "{}");
  expect_error(ErrorKind::kInput, {"other.json: is not a statistics file"},
               [&] { run_with_reports(2, folder.path("out.jsonl"), "", "", tiers); });
  tiers.hot_experts = lru_stats;
  expect_error(ErrorKind::kUsage, {"--stats", "lru.json, which this run reads"},
               [&] { run_with_reports(2, folder.path("out.jsonl"), lru_stats, "", tiers); });
}

TEST(RunReports, NothingIsOverwritten) {
  const TempFolder folder;
  const std::string model = test_data("trained_moe_8e");
  const std::string output = folder.path("out.jsonl");
  const auto refused = [&](const std::string& stats, const std::string& trace,
                           std::initializer_list<std::string_view> parts) {
    expect_error(ErrorKind::kUsage, parts, [&] { run_with_reports(2, output, stats, trace); });
    EXPECT_FALSE(fs::exists(output));
  };
  refused(model + "/model-shared.pt", "", {"--stats", "model-shared.pt", "which this run reads"});
  refused("", model + "/requests_token_ids.jsonl", {"--trace", "which this run reads"});
  refused(output, "", {"--stats", "out.jsonl is the file of the results"});
  refused("", folder.path("x/../out.jsonl"), {"--trace", "the file of the results"});
  refused(folder.path("a"), folder.path("./a"), {"--trace", "the file of --stats"});
  fs::create_directory(folder.path("folder"));
  refused(folder.path("folder"), "", {"--stats", "no regular file"});
  expect_error(ErrorKind::kInput, {"absent/stats.json.tmp", "a folder that exists"},
               [&] { run_with_reports(2, output, folder.path("absent/stats.json"), ""); });
  EXPECT_TRUE(fs::exists(model + "/requests_token_ids.jsonl"));
}

TEST(RunReports, AFailedRunLeavesNoReport) {
  const TempFolder folder;
  folder.write("old.json", "old");
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  ScoreOptions options;
  options.run = run_options(setup);
  options.run.stats_file = folder.path("old.json");
  options.input = folder.write("in.jsonl", "{\"id\": 1, \"token_ids\": [5]}\n{\"id\": 2}\n");
  options.output = folder.path("out.jsonl");
  expect_error(ErrorKind::kInput, {"in.jsonl"}, [&] {
    run_as_threads(setup, [&](Backend& device, Communicator& ranks, ProgressSink& progress) {
      run_score(options, device, ranks, progress);
    });
  });
  EXPECT_EQ(folder.read("old.json"), "old");
  EXPECT_FALSE(fs::exists(folder.path("old.json.tmp")));
}

}  // namespace
}  // namespace switchyard
