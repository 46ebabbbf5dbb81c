// A run's memory does not grow with its requests.
#include <gtest/gtest.h>

#include <fstream>

#include "runtime/host_memory.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

/// Scores `count` requests of two tokens on two ranks; returns the lines of the results.
int64_t score_many(int64_t count, const TempFolder& folder) {
  {
    std::ofstream input(folder.path("in.jsonl"));
    for (int64_t id = 0; id < count; ++id) {
      input << "{\"id\":" << id << ",\"token_ids\":[" << 5 + id % 60 << ",7]}\n";
    }
  }
  ScoreSetup setup;
  setup.model = "fairseq/dense_fp32";
  setup.num_ranks = 2;
  ScoreOptions options;
  options.run = run_options(setup);
  options.input = folder.path("in.jsonl");
  options.output = folder.path("out.jsonl");
  run_as_threads(setup, [&](Backend& backend, Communicator& world, ProgressSink& progress) {
    run_score(options, backend, world, progress);
  });
  std::ifstream output(options.output);
  int64_t lines = 0;
  for (std::string line; std::getline(output, line);) ++lines;
  return lines;
}

TEST(ManyRequests, RunInFlatMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer keeps freed memory";
#endif
  const TempFolder folder;
  EXPECT_EQ(score_many(10000, folder), 10000);
  const int64_t before = peak_resident_bytes();
  EXPECT_EQ(score_many(100000, folder), 100000);
  // Ids are remembered, to find one that stands twice: 16 bytes each in a table of twice as many
  // places, which is copied as it grows. 90,000 requests alone have 3 MB, their results 9 MB.
  EXPECT_LE(peak_resident_bytes() - before, int64_t{16} << 20);
}

}  // namespace
}  // namespace switchyard
