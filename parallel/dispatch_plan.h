// How the rows of one MoE step travel: rounds, computed alike on every rank.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "parallel/expert_placement.h"
#include "parallel/node_map.h"

namespace switchyard {

/// What one round may hold; equal on all ranks.
struct RoundLimits {
  int64_t max_rows = 0;  ///< rows a rank sends, and rows it receives, at most
  /// Distinct experts that a rank computes in a round, at most; empty: no limit. By rank.
  std::vector<int64_t> max_experts;
  /// Not null: rows go through gateways, and none takes more than max_rows of them.
  const NodeMap* nodes = nullptr;
};

/// Rows that one source sends to one instance in a round.
struct Transfer {
  int source = 0;
  int64_t instance = 0;
  int64_t rows = 0;
};

/// What a round is besides, where rows go through gateways (parallel/two_level_dispatcher.h). Rails
/// and nodes are seen from this rank: [members of its rail], [ranks of its node].
struct GatewayRound {
  std::vector<int32_t> tokens;                 // that leave, by gateway: each once
  std::vector<int64_t> tokens_out, tokens_in;  // [rail], to the gateways
  std::vector<int64_t> rows_out, rows_in;      // [rail], from the gateways back to the sources
  std::vector<int64_t> node_out, node_in;      // [node], from the gateways to the experts
  /// Gateway: row i to the experts is token spread_from[i] of those that arrived.
  std::vector<int32_t> spread_from;
  /// Gateway: row i back to the sources is row collect_from[i] of those to the experts.
  std::vector<int32_t> collect_from;
};

/// One round as one rank sees it. Sent rows are ordered by destination rank, then instance, then
/// row of the step; received rows by source rank, then instance, then the source's order. Through
/// gateways the gateway's rank goes before these on both sides.
struct DispatchRound {
  std::vector<int64_t> send_rows;  // [ep_size]
  std::vector<int64_t> recv_rows;  // [ep_size]
  /// Which (token, k) copies leave, in sending order, as token * top_k + k.
  std::vector<int32_t> sent_copies;
  std::vector<int32_t> sent_tokens;  // sent_copies / top_k
  /// The local expert slots that compute in this round, ascending, and where their rows begin in
  /// the grouped order (one entry more than slots).
  std::vector<int64_t> slots;
  std::vector<int64_t> row_offsets;
  /// Grouped row i is row grouped_from[i] of the received rows; within an expert by source rank,
  /// then by the source's order.
  std::vector<int32_t> grouped_from;

  /// Of all ranks, and the gateways' part; empty where RoundLimits names no nodes.
  std::vector<Transfer> transfers;
  GatewayRound gateway;

  int64_t num_sent() const { return static_cast<int64_t>(sent_copies.size()); }
  int64_t num_received() const { return static_cast<int64_t>(grouped_from.size()); }
};

/// All rounds of one MoE step for one rank.
struct DispatchPlan {
  std::vector<DispatchRound> rounds;  // the same number on every rank
  /// Rows each rank computes in this step, [ep_size].
  std::vector<int64_t> rows_of_rank;
  /// Rows that all ranks expect this rank's experts to get in a layer to come, by local expert;
  /// empty: nobody said.
  std::vector<int64_t> forecast;
};

/// Puts the experts of a round into another order: `slots` are its slots, each once. Rows keep
/// their order within an expert.
void reorder_experts(std::span<const int64_t> slots, DispatchRound& round);

/// Computes the rounds. `counts[s * num_instances + i]` is how many rows rank s sends to instance
/// i (gathered, equal on every rank); `instances[c]` is the instance of this rank's copy
/// c = token * top_k + k, -1 for one that goes nowhere. Each rank's experts are taken in ascending
/// order, each loaded once: a rank opens the next expert in a round only when the one before is
/// complete. Every round moves at least one row. Throws Error(kInternal) if counts and instances
/// disagree.
DispatchPlan plan_dispatch(const LayerPlacement& placement, int rank,
                           std::span<const int32_t> counts, std::span<const int32_t> instances,
                           int64_t top_k, const RoundLimits& limits);

/// Rows per instance of this rank's copies: the rank's row of `counts`, [num_instances].
std::vector<int32_t> count_instances(std::span<const int32_t> instances, int64_t num_instances);

}  // namespace switchyard
