// What travels through which gateway: the pure part of the two-level exchange.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/dispatch_plan.h"

namespace switchyard {

/// What a source tells its gateways, and hears as a gateway: for each row, in the order of
/// DispatchRound::sent_copies and round after round, which of the round's tokens it is a copy of.
struct GatewayMessage {
  std::vector<int32_t> sent;         // by gateway
  std::vector<int64_t> sent_counts;  // [rail]
  std::vector<int64_t> recv_counts;  // [rail]
};

/// Fills what a rank knows of its rounds alone (as source and as owner of experts). `plan` was made
/// with these nodes in its limits.
GatewayMessage plan_sources(const LayerPlacement& placement, const NodeMap& nodes, int rank,
                            DispatchPlan& plan);

/// Fills the rest from what the sources told, `received`, by source. Throws Error(kInternal) if
/// that is not what the plan needs.
void plan_gateway(const LayerPlacement& placement, const NodeMap& nodes, int rank,
                  const std::vector<int32_t>& received, DispatchPlan& plan);

/// Rows that a rank sends to others, there and back.
struct ExchangedRows {
  int64_t inside = 0;  ///< to ranks of its node
  int64_t across = 0;  ///< to other nodes
};

/// What a rank sends in all rounds of a plan; for a plan without gateways its rows to their experts
/// and back.
ExchangedRows count_rows(const NodeMap& nodes, int rank, const DispatchPlan& plan);

}  // namespace switchyard
