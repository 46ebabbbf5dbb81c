// Whether a run fits into the memory of its hosts, and what would.
#pragma once

#include <cstdint>
#include <string>

#include "parallel/topology.h"
#include "runtime/memory_plan.h"
#include "runtime/runtime_settings.h"

namespace switchyard {

/// Tells this rank's plan and its node's, and returns it. Collective; throws AgreedError(kResource)
/// when the ranks of a node, or of a GPU, need more than is free there, with the settings that
/// would fit.
MemoryPlan check_memory(const Checkpoint& checkpoint, const RuntimeSettings& settings,
                        const MemoryTables& tables, const WorkspaceLimits& limits,
                        const Topology& topology, const Backend& backend, ControlChannel& control);

/// "node 0, GPU 0000:01:00.0": the same for the ranks that share a GPU, and for no others.
std::string device_id(const Topology& topology, const DeviceMemory& device);

/// What a plan takes of the memory that weights and buffers lie in: all but the host tiers where
/// the device has a memory of its own.
int64_t compute_bytes(const MemoryPlan& plan, const Backend& backend);

/// Bytes that the slots of this rank may take beside `other_bytes` of everything else, where
/// `expert_bytes` would hold all of its experts: those if the memory that they share with others,
/// the node's or the GPU's, holds what all hold, else a share of what is free in proportion to the
/// ranks' experts; never negative. Collective.
int64_t share_for_experts(int64_t other_bytes, int64_t expert_bytes, const Topology& topology,
                          const Backend& backend, ControlChannel& control);

/// The most rows of a step, up to `wanted`, with which this rank's buffers still leave its slots
/// what they have in `tables`, where the options name a budget, or else take no more than a quarter
/// of it. Never less than the settings'. Collective.
int64_t most_tokens_in_memory(const Checkpoint& checkpoint, const RuntimeSettings& settings,
                              const MemoryTables& tables, int64_t wanted, const Topology& topology,
                              const Backend& backend, ControlChannel& control);

/// What a run is tried with.
struct MemoryTrial {
  int num_ranks = 1;       // of the job
  int ranks_per_node = 1;  // on the node that does not suffice
  int64_t free_per_node = 0;
};

/// The smallest change of `settings` or of the hosts with which the ranks of a node fit into what
/// is free there, as "--max-batch-tokens 1024 fits". A pure function; on other hosts experts are
/// placed contiguously.
std::string advise_memory(const Checkpoint& checkpoint, const RuntimeSettings& settings,
                          const MemoryTrial& trial, const Backend& backend);

}  // namespace switchyard
