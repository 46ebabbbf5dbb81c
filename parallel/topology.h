// Which ranks share a machine, and which of its cores they may use.
#pragma once

#include <string>
#include <vector>

#include "parallel/control_channel.h"

namespace switchyard {

/// Where this rank stands. A node is one host name, boot and namespace: containers with a host name
/// or memory space of their own are nodes of their own.
struct Topology {
  int rank = 0;
  int size = 1;
  int local_rank = 0;  ///< among the ranks of its node
  int local_size = 1;
  int node = 0;  ///< nodes are numbered by their lowest rank
  int num_nodes = 1;
  std::string hostname;
};

/// The name of the machine this process runs on.
std::string host_name();

/// Collective.
Topology discover_topology(ControlChannel& control);

/// The place of `rank` if `node_ids[r]` tells ranks of different nodes apart; hostname stays empty.
Topology topology_of(const std::vector<std::string>& node_ids, int rank);

/// The cores of this rank.
struct CpuBudget {
  int usable_cores = 1;     ///< that the process may run on
  int ranks_sharing = 1;    ///< ranks of the node that may run on one of them, itself included
  int default_threads = 1;  ///< usable_cores / ranks_sharing, within the quota, at least 1
  /// Empty, or how the launch wastes cores and which option helps.
  std::string warning;
};

/// What is known of a node's logical processors ("cores" in this project).
struct NodeCores {
  std::vector<std::vector<int>> of_rank;  // [local_size], ids each rank may run on, ascending
  std::vector<int> all;                   // ids the job could use
  int threads_per_core = 1;               // mpirun counts physical ones
  double quota = 0.0;  // cores' worth of time that the control group allows; 0: all
};

/// Collective. Reads the affinity that the launcher set.
CpuBudget cpu_budget(ControlChannel& control, const Topology& topology);

/// The budget of one rank. Warns if other launch options would give it more cores while some are
/// in no rank's mask.
CpuBudget cpu_budget_of(const NodeCores& cores, int local_rank);

/// Parses a control group's limit of processor time, "QUOTA PERIOD" in microseconds, as cores; 0
/// where there is none ("max", -1).
double parse_cpu_quota(const std::string& text);

/// Parses a list of processors as the kernel writes it: "0-3,8,10-11".
std::vector<int> parse_cpu_list(const std::string& text);

}  // namespace switchyard
