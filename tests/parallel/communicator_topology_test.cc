#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "parallel/thread_communicator.h"
#include "parallel/topology.h"

namespace switchyard {
namespace {

std::vector<int> cores(int first, int last) {
  std::vector<int> ids(static_cast<size_t>(last - first + 1));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

TEST(TopologyTest, RanksOfNodesInAnyOrder) {
  const std::vector<std::string> ids = {"b", "a", "b", "c", "a", "b"};
  struct Expected {
    int node;
    int local_rank;
    int local_size;
  };
  const std::vector<Expected> expected = {{0, 0, 3}, {1, 0, 2}, {0, 1, 3},
                                          {2, 0, 1}, {1, 1, 2}, {0, 2, 3}};
  for (int rank = 0; rank < 6; ++rank) {
    const Topology topology = topology_of(ids, rank);
    EXPECT_EQ(topology.rank, rank);
    EXPECT_EQ(topology.size, 6);
    EXPECT_EQ(topology.num_nodes, 3);
    EXPECT_EQ(topology.node, expected[static_cast<size_t>(rank)].node);
    EXPECT_EQ(topology.local_rank, expected[static_cast<size_t>(rank)].local_rank);
    EXPECT_EQ(topology.local_size, expected[static_cast<size_t>(rank)].local_size);
  }
}

TEST(TopologyTest, ThreadsOfAProcessShareANodeAndItsCores) {
  run_ranks(3, {}, {}, [](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    const Topology topology = discover_topology(control);
    EXPECT_EQ(topology.rank, world.rank());
    EXPECT_EQ(topology.local_rank, world.rank());
    EXPECT_EQ(topology.local_size, 3);
    EXPECT_EQ(topology.num_nodes, 1);
    EXPECT_FALSE(topology.hostname.empty());
    const CpuBudget budget = cpu_budget(control, topology);
    EXPECT_GE(budget.usable_cores, 1);
    EXPECT_EQ(budget.ranks_sharing, 3);
    EXPECT_EQ(budget.default_threads, std::max(1, budget.usable_cores / 3));
  });
}

TEST(CpuBudgetTest, UnboundRanksShareAllCores) {
  const NodeCores node{{cores(0, 7), cores(0, 7)}, cores(0, 7), 1};
  const CpuBudget budget = cpu_budget_of(node, 1);
  EXPECT_EQ(budget.usable_cores, 8);
  EXPECT_EQ(budget.ranks_sharing, 2);
  EXPECT_EQ(budget.default_threads, 4);
  EXPECT_EQ(budget.warning, "");
}

TEST(CpuBudgetTest, MoreRanksThanCoresGetOneThreadEach) {
  const NodeCores node{{cores(0, 1), cores(0, 1), cores(0, 1)}, cores(0, 1), 1};
  const CpuBudget budget = cpu_budget_of(node, 0);
  EXPECT_EQ(budget.ranks_sharing, 3);
  EXPECT_EQ(budget.default_threads, 1);
  EXPECT_EQ(budget.warning, "");
}

TEST(CpuBudgetTest, FairDisjointBindingIsFine) {
  const NodeCores node{{cores(0, 3), cores(4, 7)}, cores(0, 7), 1};
  const CpuBudget budget = cpu_budget_of(node, 1);
  EXPECT_EQ(budget.usable_cores, 4);
  EXPECT_EQ(budget.ranks_sharing, 1);
  EXPECT_EQ(budget.default_threads, 4);
  EXPECT_EQ(budget.warning, "");
}

TEST(CpuBudgetTest, OneRemainingCoreIsNoWaste) {
  const NodeCores node{{cores(0, 3), cores(4, 7)}, cores(0, 8), 1};
  EXPECT_EQ(cpu_budget_of(node, 0).warning, "");
}

TEST(CpuBudgetTest, BindingToOneCoreEachWastesTheOthers) {
  const NodeCores node{{{0}, {1}}, cores(0, 7), 1};
  const CpuBudget budget = cpu_budget_of(node, 0);
  EXPECT_EQ(budget.default_threads, 1);
  EXPECT_NE(budget.warning.find("may use 1 of 8 cores"), std::string::npos) << budget.warning;
  EXPECT_NE(budget.warning.find("6 of this machine are in no rank's mask"), std::string::npos)
      << budget.warning;
  EXPECT_NE(budget.warning.find("'mpirun --map-by slot:PE=4 --bind-to core'"), std::string::npos)
      << budget.warning;
  EXPECT_NE(budget.warning.find("--bind-to none"), std::string::npos) << budget.warning;
}

TEST(CpuBudgetTest, MpirunCountsPhysicalCores) {
  // Two threads a core: 16 logical ones, of which each rank is bound to the two of one core.
  const NodeCores node{{{0, 8}, {1, 9}}, cores(0, 15), 2};
  const CpuBudget budget = cpu_budget_of(node, 1);
  EXPECT_NE(budget.warning.find("slot:PE=4 "), std::string::npos) << budget.warning;
  EXPECT_NE(budget.warning.find("--cpus-per-task=8"), std::string::npos) << budget.warning;
}

TEST(CpuBudgetTest, RanksOnTheSameCoresWhileOthersIdle) {
  const NodeCores node{{{0, 1}, {0, 1}, {0, 1}, {0, 1}}, cores(0, 7), 1};
  const CpuBudget budget = cpu_budget_of(node, 2);
  EXPECT_EQ(budget.ranks_sharing, 4);
  EXPECT_EQ(budget.default_threads, 1);
  EXPECT_NE(budget.warning.find("4 ranks share 2 cores"), std::string::npos) << budget.warning;
  EXPECT_NE(budget.warning.find("slot:PE=2 "), std::string::npos) << budget.warning;
}

TEST(CpuBudgetTest, PartlyOverlappingMasksCount) {
  const NodeCores node{{{0, 1, 2}, {2, 3}, {4, 5}}, cores(0, 5), 1};
  EXPECT_EQ(cpu_budget_of(node, 0).ranks_sharing, 2);
  EXPECT_EQ(cpu_budget_of(node, 1).ranks_sharing, 2);
  EXPECT_EQ(cpu_budget_of(node, 2).ranks_sharing, 1);
}

TEST(CpuBudgetTest, TheControlGroupsQuotaIsShared) {
  NodeCores cores;
  cores.of_rank = {{0, 1, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 6, 7}};
  cores.all = cores.of_rank[0];
  EXPECT_EQ(cpu_budget_of(cores, 0).default_threads, 4);
  cores.quota = 2.5;
  EXPECT_EQ(cpu_budget_of(cores, 0).default_threads, 2);
  cores.quota = 0.2;
  EXPECT_EQ(cpu_budget_of(cores, 1).default_threads, 1);
  EXPECT_EQ(parse_cpu_quota("150000 100000"), 1.5);
  EXPECT_EQ(parse_cpu_quota("max 100000"), 0.0);
  EXPECT_EQ(parse_cpu_quota("-1 100000"), 0.0);
  EXPECT_EQ(parse_cpu_quota(""), 0.0);
}

TEST(CpuBudgetTest, ParsesListsOfProcessors) {
  EXPECT_EQ(parse_cpu_list("0-3,8,10-11"), (std::vector<int>{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_cpu_list("5"), std::vector<int>{5});
  EXPECT_EQ(parse_cpu_list(""), std::vector<int>{});
  EXPECT_EQ(parse_cpu_list("\n"), std::vector<int>{});
}

}  // namespace
}  // namespace switchyard
