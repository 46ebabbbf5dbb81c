// Scores through both exchanges on nodes of any size: the same bytes.
#include <gtest/gtest.h>

#include "parallel/exchange_choice.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

class ExchangeScoreTest : public testing::TestWithParam<BackendKind> {};

TEST_P(ExchangeScoreTest, NoExchangeChangesAByte) {
  ScoreSetup setup;
  setup.model = "fairseq/moe_fp32";
  setup.backend = GetParam();
  const std::string expected = score(setup);
  ASSERT_FALSE(expected.empty());
  for (const int ranks : {4, 8}) {
    for (const int ranks_per_node : {1, 2, 3, 4, 8}) {
      for (const int64_t exchange_buffer : {int64_t{1} << 10, int64_t{64} << 20}) {
        setup.num_ranks = ranks;
        setup.exchange = {ExchangeKind::kTwoLevel, ranks_per_node};
        setup.exchange_buffer_bytes = exchange_buffer;
        EXPECT_EQ(score(setup), expected) << setup.text() << ", nodes of " << ranks_per_node;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ExchangeScoreTest,
                         testing::Values(BackendKind::kCpu, BackendKind::kStrict));

}  // namespace
}  // namespace switchyard
