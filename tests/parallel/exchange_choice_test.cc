// Nodes, rails, gateways, and which exchange they lead to.
#include "parallel/exchange_choice.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

TEST(NodeMap, AGatewayStandsOnTheSourcesRail) {
  for (const std::vector<int>& of_rank :
       {std::vector<int>{0}, {0, 0, 1, 1}, {0, 1, 0, 1, 1}, {0, 0, 0, 0, 0, 1, 1, 2, 2}}) {
    const NodeMap nodes(of_rank);
    for (int source = 0; source < nodes.num_ranks(); ++source) {
      EXPECT_EQ(nodes.gateway(source, nodes.node(source)), source);
      for (int node = 0; node < nodes.num_nodes(); ++node) {
        const int gateway = nodes.gateway(source, node);
        EXPECT_EQ(nodes.node(gateway), node);
        EXPECT_EQ(nodes.rail(gateway), nodes.rail(source));
      }
    }
  }
}

TEST(NodeMap, RefusesNodesWithoutRanks) {
  EXPECT_THROW(NodeMap({0, 2, 2}), Error);
  EXPECT_THROW(NodeMap({0, -1}), Error);
}

TEST(ExchangeChoice, AutoNeedsSeveralNodesAndRanks) {
  const auto choice = [](std::vector<int> nodes) {
    return choose_exchange(ExchangeKind::kAuto, NodeMap(std::move(nodes)));
  };
  EXPECT_EQ(choice({0}), ExchangeKind::kDirect);
  EXPECT_EQ(choice({0, 0, 0}), ExchangeKind::kDirect);
  EXPECT_EQ(choice({0, 1, 2}), ExchangeKind::kDirect);
  EXPECT_EQ(choice({0, 1, 1}), ExchangeKind::kTwoLevel);
  EXPECT_EQ(choose_exchange(ExchangeKind::kTwoLevel, NodeMap({0})), ExchangeKind::kTwoLevel);
  EXPECT_EQ(choose_exchange(ExchangeKind::kDirect, NodeMap({0, 1, 1})), ExchangeKind::kDirect);
}

}  // namespace
}  // namespace switchyard
