#include "runtime/memory_check.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "kernels/base/byte_codec.h"
#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "runtime/host_memory.h"

namespace switchyard {
namespace {

/// What the ranks that share a memory, a node's or a GPU's, need and have.
struct SharedMemory {
  int64_t other = 0;    // of all but experts
  int64_t experts = 0;  // of their slots
  int64_t free = 0;
  int local_ranks = 0;

  int64_t needed() const { return other + experts; }
};

/// The memory named `id` on this rank's node, of which this rank sees `free` bytes.
SharedMemory share_memory(int64_t other, int64_t experts, const std::string& id, int64_t free,
                          ControlChannel& control) {
  ByteWriter writer;
  writer.put_string(id);
  writer.put(other);
  writer.put(experts);
  writer.put(free);
  SharedMemory memory{0, 0, std::numeric_limits<int64_t>::max(), 0};
  for (const std::string& bytes : control.all_gather(writer.bytes(), {.phase = "memory plan"})) {
    ByteReader reader(bytes);
    if (reader.get_string() != id) continue;
    memory.other += reader.get<int64_t>();
    memory.experts += reader.get<int64_t>();
    memory.free = std::min(memory.free, reader.get<int64_t>());
    ++memory.local_ranks;
  }
  return memory;
}

std::string node_id(const Topology& topology) { return concat("node ", topology.node); }

/// The memory that weights and buffers lie in: the GPU's where there is one, else the node's.
SharedMemory compute_memory(int64_t other, int64_t experts, const Topology& topology,
                            const Backend& backend, ControlChannel& control) {
  const std::optional<DeviceMemory> device = backend.device_memory();
  const std::string id = device ? device_id(topology, *device) : node_id(topology);
  return share_memory(other, experts, id, device ? device->free_bytes : free_host_memory(),
                      control);
}

/// Finds settings that fit by trying.
class Adviser {
 public:
  Adviser(const Checkpoint& checkpoint, const RuntimeSettings& settings, const MemoryTrial& trial,
          const Backend& backend)
      : checkpoint_(checkpoint), settings_(settings), trial_(trial), backend_(backend) {}

  std::string advise() const {
    if (const int64_t budget = largest_expert_budget(); budget > 0) {
      return concat("--expert-budget ", budget, " fits");
    }
    if (const int64_t budget = largest_host_budget(); budget > 0) {
      return concat("--host-budget ", budget, " fits");
    }
    if (const int64_t sequences = most_sequences(); sequences > 0) {
      return concat("--batch-size ", sequences, " fits");
    }
    if (const int64_t tokens = most_batch_tokens(); tokens > 0) {
      return concat("--max-batch-tokens ", tokens, " fits");
    }
    if (const int64_t rows = most_unit_rows(); rows > 0) {
      return concat("a ", settings_.capacity_fraction ? "batch (--batch-size)" : "sequence",
                    " of at most ", rows, " positions fits, not one of ",
                    settings_.largest_unit_rows);
    }
    if (!settings_.placement.text.empty() && fits_here(settings_, {})) {
      return "experts placed contiguously, without --placement, fit";
    }
    for (int ranks = trial_.ranks_per_node; ranks >= 1; --ranks) {
      const int nodes = fewest_nodes(ranks);
      if (nodes > 0) {
        return concat(nodes, nodes == 1 ? " host" : " hosts", " like this one with ", ranks,
                      ranks == 1 ? " rank" : " ranks", " each, ", nodes * ranks, " in all, fit",
                      nodes * ranks == 1 ? "s" : "");
      }
    }
    return "no number of such hosts suffices for what every rank holds";
  }

 private:
  /// Bytes of the rank that needs the most; with a contiguous placement that is the first.
  int64_t most_bytes(const RuntimeSettings& settings, const PlacementText& placement,
                     int num_ranks) const {
    const ModelConfig& config = checkpoint_.config;
    const WorkspaceLimits limits = workspace_limits(config, settings, num_ranks);
    const std::vector<LayerPlacement> placements = make_placements(placement, config, num_ranks);
    int64_t most = 0;
    for (int rank = 0; rank < (placement.text.empty() ? 1 : num_ranks); ++rank) {
      MemoryTables tables = memory_tables(checkpoint_, placements, rank, limits, backend_);
      tables.cache = plan_cache(tables.experts, settings.tiers, 0, backend_);
      most = std::max(most, plan_memory(config, tables, limits, backend_).total());
    }
    return most;
  }

  /// On the hosts as they are.
  bool fits_here(const RuntimeSettings& settings, const PlacementText& placement) const {
    return most_bytes(settings, placement, trial_.num_ranks) <=
           trial_.free_per_node / trial_.ranks_per_node;
  }

  /// Where a run asks for slots: how many bytes of them fit beside all else, 0 if too few or none.
  int64_t largest_expert_budget() const {
    if (!settings_.tiers.expert_budget && !settings_.tiers.expert_slots) return 0;
    const WorkspaceLimits limits =
        workspace_limits(checkpoint_.config, settings_, trial_.num_ranks);
    const std::vector<LayerPlacement> placements =
        make_placements(settings_.placement, checkpoint_.config, trial_.num_ranks);
    const MemoryTables tables = memory_tables(checkpoint_, placements, 0, limits, backend_);
    const MemoryPlan plan = plan_memory(checkpoint_.config, tables, limits, backend_);
    const int64_t other = plan.total() - tables.cache.device_bytes;
    const int64_t left = trial_.free_per_node / trial_.ranks_per_node - other;
    const int64_t fewest = fewest_slots(tables.experts, settings_.tiers.scope);
    return left >= fewest * tables.cache.slot_bytes ? left : 0;
  }

  /// Less than what was asked for, which did not fit; 0: none, or it is not that.
  int64_t largest_host_budget() const {
    return most(settings_.tiers.host_budget - 1, [](RuntimeSettings& settings, int64_t bytes) {
      settings.tiers.host_budget = bytes;
    });
  }

  /// The largest value in [1, highest] with which the hosts as they are suffice; 0: none.
  template <typename Change>
  int64_t most(int64_t highest, const Change& change) const {
    int64_t good = 0;
    for (int64_t bad = highest + 1; bad - good > 1;) {
      const int64_t middle = good + (bad - good) / 2;
      RuntimeSettings settings = settings_;
      change(settings, middle);
      (fits_here(settings, settings_.placement) ? good : bad) = middle;
    }
    return good;
  }

  /// Sequences that may keep their keys at a time, all as long as the longest; 0: none, or it is
  /// not them that are too large.
  int64_t most_sequences() const {
    int64_t asked = 0;
    for (size_t group = 0; group < settings_.sequence_cache_pages.size(); ++group) {
      const int64_t each = std::max(settings_.sequence_cache_pages[group], int64_t{1});
      asked = std::max(asked, settings_.cache_pages[group] / each);
    }
    return most(asked - 1, [this](RuntimeSettings& settings, int64_t sequences) {
      for (size_t group = 0; group < settings.cache_pages.size(); ++group) {
        settings.cache_pages[group] = sequences * settings_.sequence_cache_pages[group];
      }
    });
  }

  /// Less than what was asked for, which did not fit.
  int64_t most_batch_tokens() const {
    return most(settings_.max_batch_tokens - 1, [](RuntimeSettings& settings, int64_t tokens) {
      settings.max_batch_tokens = tokens;
    });
  }

  int64_t most_unit_rows() const {
    return most(settings_.largest_unit_rows - 1, [](RuntimeSettings& settings, int64_t rows) {
      settings.max_batch_tokens = std::min(settings.max_batch_tokens, rows);
      settings.largest_unit_pages =
          settings.largest_unit_pages * rows / settings.largest_unit_rows + 1;
      settings.largest_unit_rows = rows;
    });
  }

  /// The fewest hosts that suffice with so many ranks each; 0: none. More ranks than experts share
  /// no more.
  int fewest_nodes(int ranks_per_node) const {
    const auto experts = static_cast<int>(checkpoint_.config.router.num_experts);
    const int most_nodes = std::max(experts, 1) / ranks_per_node + 1;
    for (int nodes = 1; nodes <= most_nodes; ++nodes) {
      const int64_t share = trial_.free_per_node / ranks_per_node;
      if (most_bytes(settings_, {}, nodes * ranks_per_node) <= share) return nodes;
    }
    return 0;
  }

  const Checkpoint& checkpoint_;
  const RuntimeSettings& settings_;
  const MemoryTrial& trial_;
  const Backend& backend_;
};

}  // namespace

std::string device_id(const Topology& topology, const DeviceMemory& device) {
  return concat(node_id(topology), ", GPU ", device.id);
}

std::string advise_memory(const Checkpoint& checkpoint, const RuntimeSettings& settings,
                          const MemoryTrial& trial, const Backend& backend) {
  return Adviser(checkpoint, settings, trial, backend).advise();
}

int64_t compute_bytes(const MemoryPlan& plan, const Backend& backend) {
  return plan.total() - (backend.device_memory() ? plan.of(MemoryCategory::kHost) : 0);
}

int64_t share_for_experts(int64_t other_bytes, int64_t expert_bytes, const Topology& topology,
                          const Backend& backend, ControlChannel& control) {
  const SharedMemory node = compute_memory(other_bytes, expert_bytes, topology, backend, control);
  if (node.needed() <= node.free) return expert_bytes;
  // What is called free is an estimate, and page tables and allocators take their part.
  constexpr double kUsable = 0.97;
  const double left = kUsable * static_cast<double>(node.free) - static_cast<double>(node.other);
  const double part =
      static_cast<double>(expert_bytes) / static_cast<double>(std::max<int64_t>(node.experts, 1));
  return static_cast<int64_t>(std::max(left, 0.0) * part);
}

int64_t most_tokens_in_memory(const Checkpoint& checkpoint, const RuntimeSettings& settings,
                              const MemoryTables& tables, int64_t wanted, const Topology& topology,
                              const Backend& backend, ControlChannel& control) {
  const auto bytes_with = [&](int64_t tokens) {
    RuntimeSettings trial = settings;
    trial.max_batch_tokens = tokens;
    const WorkspaceLimits limits = workspace_limits(checkpoint.config, trial, control.size());
    MemoryTables larger = tables;
    larger.workspace = workspace_table(checkpoint.config, limits, backend);
    return compute_bytes(plan_memory(checkpoint.config, larger, limits, backend), backend);
  };
  const int64_t now = bytes_with(settings.max_batch_tokens);
  const int64_t experts = tables.cache.device_bytes;
  const SharedMemory node = compute_memory(now - experts, experts, topology, backend, control);
  const bool has_budget = settings.tiers.expert_budget || settings.tiers.expert_slots;
  const int64_t room = has_budget ? (node.free - node.needed()) / node.local_ranks : experts / 4;
  int64_t good = settings.max_batch_tokens;
  for (int64_t bad = std::max(wanted, good) + 1; bad - good > 1;) {
    const int64_t middle = good + (bad - good) / 2;
    (bytes_with(middle) - now <= room ? good : bad) = middle;
  }
  return good;
}

namespace {

/// Host memory behind GPUs; on processors it is a part of what is checked before.
void check_host_tiers(int64_t bytes, const Topology& topology, ControlChannel& control) {
  const SharedMemory host = share_memory(bytes, 0, node_id(topology), free_host_memory(), control);
  control.agree(
      [&] {
        if (host.needed() <= host.free) return;
        fail_resource("host ", topology.hostname, ": the ranks on it need ",
                      format_byte_size(host.needed()), " of host memory behind their GPUs, but ",
                      format_byte_size(host.free), " are free: lower --host-budget");
      },
      {.phase = "memory plan"});
}

}  // namespace

MemoryPlan check_memory(const Checkpoint& checkpoint, const RuntimeSettings& settings,
                        const MemoryTables& tables, const WorkspaceLimits& limits,
                        const Topology& topology, const Backend& backend, ControlChannel& control) {
  MemoryPlan plan = plan_memory(checkpoint.config, tables, limits, backend);
  const int64_t experts = plan.of(MemoryCategory::kExperts);
  const int64_t needed = compute_bytes(plan, backend);
  const std::optional<DeviceMemory> device = backend.device_memory();
  const std::string place = device ? concat("GPU ", device->id, " of host ", topology.hostname)
                                   : concat("host ", topology.hostname);
  const SharedMemory node = compute_memory(needed - experts, experts, topology, backend, control);
  if (control.rank() == 0) {
    log_info("memory of rank 0: ", plan.text());
    log_info("memory of its ", device ? "GPU: " : "node: ", node.local_ranks, " ranks need ",
             format_byte_size(node.needed()), " of ", format_byte_size(node.free), " free");
  }
  control.agree(
      [&] {
        if (node.needed() <= node.free) return;
        fail_resource(place, ": the ", node.local_ranks, " ranks on it need ",
                      format_byte_size(node.needed()), ", but ", format_byte_size(node.free),
                      " are free; this rank needs ", plan.text(), "; ",
                      advise_memory(checkpoint, settings,
                                    {topology.size, node.local_ranks, node.free}, backend));
      },
      {.phase = "memory plan"});
  check_host_tiers(plan.total() - needed, topology, control);
  return plan;
}

}  // namespace switchyard
