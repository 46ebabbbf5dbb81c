#include "parallel/topology.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "kernels/base/byte_codec.h"
#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr CollectiveLabel kLabel{-1, -1, -1, "topology"};

/// The first line; empty if the file cannot be read.
std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string link_target(const char* path) {
  std::array<char, 256> target{};
  const ssize_t length = readlink(path, target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<size_t>(length)) : std::string();
}

std::string node_id() {
  return concat(host_name(), ' ', first_line("/proc/sys/kernel/random/boot_id"), ' ',
                link_target("/proc/self/ns/uts"), ' ', link_target("/proc/self/ns/ipc"));
}

std::vector<int> affinity() {
  // Larger than any machine's mask, so that the call cannot fail for want of space.
  constexpr int kMaxCpus = 1 << 15;
  std::vector<cpu_set_t> mask(CPU_ALLOC_SIZE(kMaxCpus) / sizeof(cpu_set_t));
  const size_t bytes = mask.size() * sizeof(cpu_set_t);
  std::vector<int> cpus;
  if (sched_getaffinity(0, bytes, mask.data()) != 0) return {0};
  for (int cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, mask.data())) cpus.push_back(cpu);
  }
  return cpus;
}

/// The processors of the container, else of the machine.
std::vector<int> available_cpus() {
  for (const char* path :
       {"/sys/fs/cgroup/cpuset.cpus.effective", "/sys/fs/cgroup/cpuset/cpuset.effective_cpus",
        "/sys/devices/system/cpu/online"}) {
    const std::vector<int> cpus = parse_cpu_list(first_line(path));
    if (!cpus.empty()) return cpus;
  }
  return {};
}

int threads_per_core() {
  const std::string siblings =
      first_line("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
  return std::max(1, static_cast<int>(parse_cpu_list(siblings).size()));
}

bool intersect(const std::vector<int>& a, const std::vector<int>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](int cpu) { return std::binary_search(b.begin(), b.end(), cpu); });
}

/// How many of the node's cores are in no rank's mask.
int num_idle(const NodeCores& cores) {
  std::set<int> idle(cores.all.begin(), cores.all.end());
  for (const std::vector<int>& mask : cores.of_rank) {
    for (const int cpu : mask) idle.erase(cpu);
  }
  return static_cast<int>(idle.size());
}

std::string waste_warning(const NodeCores& cores, const CpuBudget& budget, int idle, int fair) {
  const int physical = std::max(1, fair / cores.threads_per_core);
  const std::string shared =
      budget.ranks_sharing > 1
          ? concat(budget.ranks_sharing, " ranks share ", budget.usable_cores, " cores")
          : concat("a rank may use ", budget.usable_cores, " of ", cores.all.size(), " cores");
  return concat(
      "the launcher bound the ranks so that ", shared, " while ", idle,
      " of this machine are in no rank's mask: start with 'mpirun --map-by slot:PE=", physical,
      " --bind-to core' or 'mpirun --bind-to none' (srun: --cpus-per-task=", fair, ")");
}

}  // namespace

Topology topology_of(const std::vector<std::string>& node_ids, int rank) {
  Topology topology;
  topology.rank = rank;
  topology.size = static_cast<int>(node_ids.size());
  topology.local_size = 0;
  const std::string& own = node_ids[static_cast<size_t>(rank)];
  std::vector<std::string> nodes;
  for (int r = 0; r < topology.size; ++r) {
    const std::string& id = node_ids[static_cast<size_t>(r)];
    if (std::find(nodes.begin(), nodes.end(), id) == nodes.end()) nodes.push_back(id);
    if (id != own) continue;
    if (r == rank) topology.local_rank = topology.local_size;
    ++topology.local_size;
  }
  topology.num_nodes = static_cast<int>(nodes.size());
  topology.node = static_cast<int>(std::find(nodes.begin(), nodes.end(), own) - nodes.begin());
  return topology;
}

std::string host_name() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

Topology discover_topology(ControlChannel& control) {
  Topology topology = topology_of(control.all_gather(node_id(), kLabel), control.rank());
  topology.hostname = host_name();
  return topology;
}

CpuBudget cpu_budget_of(const NodeCores& cores, int local_rank) {
  const std::vector<int>& own = cores.of_rank[static_cast<size_t>(local_rank)];
  CpuBudget budget;
  budget.usable_cores = std::max(1, static_cast<int>(own.size()));
  budget.ranks_sharing = static_cast<int>(std::count_if(
      cores.of_rank.begin(), cores.of_rank.end(),
      [&](const std::vector<int>& mask) { return &mask == &own || intersect(mask, own); }));
  budget.default_threads = std::max(1, budget.usable_cores / budget.ranks_sharing);
  if (cores.quota > 0.0) {
    const int fair_share =
        static_cast<int>(std::ceil(cores.quota / static_cast<double>(cores.of_rank.size())));
    budget.default_threads = std::min(budget.default_threads, std::max(1, fair_share));
  }
  const int idle = num_idle(cores);
  const int fair = static_cast<int>(cores.all.size() / cores.of_rank.size());
  const bool is_wasted = idle > 0 && budget.default_threads < fair;
  const bool is_shared = idle > 0 && budget.ranks_sharing > budget.usable_cores;
  if (is_wasted || is_shared) {
    budget.warning = waste_warning(cores, budget, idle, std::max(1, fair));
  }
  return budget;
}

CpuBudget cpu_budget(ControlChannel& control, const Topology& topology) {
  ByteWriter writer;
  writer.put(topology.node);
  writer.put_vector(affinity());
  NodeCores cores;
  for (const std::string& message : control.all_gather(writer.bytes(), kLabel)) {
    ByteReader reader(message);
    if (reader.get<int>() == topology.node) cores.of_rank.push_back(reader.get_vector<int>());
  }
  cores.all = available_cpus();
  cores.threads_per_core = threads_per_core();
  cores.quota = parse_cpu_quota(first_line("/sys/fs/cgroup/cpu.max"));
  if (cores.quota == 0.0) {
    cores.quota = parse_cpu_quota(first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") + " " +
                                  first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  }
  return cpu_budget_of(cores, topology.local_rank);
}

double parse_cpu_quota(const std::string& text) {
  std::istringstream fields(text);
  double quota = 0.0;
  double period = 0.0;
  return fields >> quota >> period && quota > 0.0 && period > 0.0 ? quota / period : 0.0;
}

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> cpus;
  std::istringstream ranges(text);
  std::string range;
  while (std::getline(ranges, range, ',')) {
    char* end = nullptr;
    const long first = std::strtol(range.c_str(), &end, 10);
    const long last = *end == '-' ? std::strtol(end + 1, nullptr, 10) : first;
    for (long cpu = first; cpu <= last && end != range.c_str(); ++cpu) {
      cpus.push_back(static_cast<int>(cpu));
    }
  }
  return cpus;
}

}  // namespace switchyard
