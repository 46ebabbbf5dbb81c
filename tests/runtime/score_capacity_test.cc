// `score --capacity reference` beyond the reference implementation's own cases.
#include <gtest/gtest.h>

#include "runtime/score.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

TEST(ScoreCapacity, ADenseModelsNumbersDoNotChange) {
  ScoreSetup setup;
  setup.model = "fairseq/dense_fp32";
  const std::string expected = score(setup);
  setup.capacity.mode = Capacity::kReference;
  setup.capacity.batch_size = 3;
  for (const int ranks : {1, 2}) {
    setup.num_ranks = ranks;
    EXPECT_TRUE(score(setup) == expected) << setup.text();
  }
}

TEST(ScoreCapacity, EmptyRequestsTakeTheirPlaceInABatch) {
  const TemporaryFile input("in.jsonl",
                            "{\"id\":1,\"token_ids\":[]}\n{\"id\":2,\"token_ids\":[5,6,7]}\n"
                            "{\"id\":3,\"token_ids\":[]}\n");
  ScoreSetup setup;
  setup.model = "fairseq/capacity_top2";
  setup.input = input.path();
  setup.capacity.mode = Capacity::kReference;
  setup.capacity.batch_size = 2;
  const std::string lines = score(setup);
  EXPECT_NE(lines.find("{\"id\":1,\"token_ids\":[],"), std::string::npos) << lines;
  EXPECT_NE(lines.find("{\"id\":2,\"token_ids\":[5,6,7],"), std::string::npos) << lines;
  EXPECT_NE(lines.find("{\"id\":3,\"token_ids\":[],"), std::string::npos) << lines;
  setup.num_ranks = 2;
  EXPECT_EQ(score(setup), lines);
}

}  // namespace
}  // namespace switchyard
