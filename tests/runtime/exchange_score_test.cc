// Scores through both exchanges on nodes of any size: the same bytes.
#include <gtest/gtest.h>

#include "parallel/exchange_choice.h"
#include "tests/runtime/expect_error.h"
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

TEST_P(ExchangeScoreTest, CountingOnTheDeviceChangesNoByte) {
  for (const char* const model : {"fairseq/moe_fp32", "trained_moe_8e"}) {
    ScoreSetup setup;
    setup.model = model;
    if (setup.model == "trained_moe_8e") setup.input = "requests_pairs_token_ids.jsonl";
    setup.backend = GetParam();
    setup.exchange.layout = ExchangeLayout::kExact;
    const std::string expected = score(setup);
    setup.exchange.layout = ExchangeLayout::kPadded;
    for (const int ranks : {1, 2, 3, 4, 8}) {
      // Some steps fit into the slots and others do not.
      for (const int64_t exchange_buffer : {int64_t{1} << 15, int64_t{64} << 20}) {
        setup.num_ranks = ranks;
        setup.max_batch_tokens = 100 * ranks;
        setup.exchange_buffer_bytes = exchange_buffer;
        EXPECT_EQ(score(setup), expected) << setup.text() << ", " << model;
      }
    }
  }
}

TEST(ExchangeScore, WhatCannotBePaddedIsRefused) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = "requests_pairs_token_ids.jsonl";
  setup.num_ranks = 2;
  setup.exchange.layout = ExchangeLayout::kPadded;
  const auto expect_refused = [&](const std::string& why) {
    expect_error(ErrorKind::kUsage, {"--exchange-layout padded", why}, [&] { score(setup); });
  };
  setup.tiers.expert_slots = 3;
  expect_refused("a rank pages its experts");
  setup.tiers = {};
  setup.exchange.kind = ExchangeKind::kTwoLevel;
  expect_refused("rows travel by way of gateways");
  setup.exchange.kind = ExchangeKind::kDirect;
  setup.model = "hf/llama-moe-v1-uneven";
  setup.input = "requests.jsonl";
  expect_refused("experts of one layer differ in size");
}

INSTANTIATE_TEST_SUITE_P(Backends, ExchangeScoreTest,
                         testing::Values(BackendKind::kCpu, BackendKind::kStrict));

}  // namespace
}  // namespace switchyard
