// Which way rows take to their experts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "parallel/control_channel.h"
#include "parallel/node_map.h"
#include "parallel/token_dispatcher.h"
#include "parallel/topology.h"

namespace switchyard {

/// No result depends on it.
enum class ExchangeKind : uint8_t {
  kAuto,      ///< two-level where there are several nodes and one of them has several ranks
  kDirect,    ///< TokenDispatcher
  kTwoLevel,  ///< TwoLevelDispatcher
};

/// How a run asks for its exchange.
struct ExchangeRequest {
  ExchangeKind kind = ExchangeKind::kAuto;
  /// Takes so many consecutive ranks as a node; none: the nodes that the ranks really stand on.
  std::optional<int> ranks_per_node;
  ExchangeLayout layout = ExchangeLayout::kAuto;
};

/// The nodes of all ranks of `control`. Collective.
NodeMap discover_nodes(ControlChannel& control, const Topology& topology,
                       const ExchangeRequest& request);

/// kDirect or kTwoLevel.
ExchangeKind choose_exchange(ExchangeKind wanted, const NodeMap& nodes);

/// Bytes of the exchange buffers for one row of a round. kAuto counts as kDirect.
int64_t exchange_bytes_per_row(ExchangeKind kind, int64_t hidden_size);

/// What an exchange works with; all references must outlive it.
struct ExchangeParts {
  Backend& backend;
  Communicator& experts;
  Stream& compute;
  Stream& exchange;
  DispatcherSizes sizes;
};

/// Collective over parts.experts, whose ranks stand on `nodes`.
std::unique_ptr<RowExchange> make_exchange(ExchangeKind kind, const NodeMap& nodes,
                                           const ExchangeParts& parts);

}  // namespace switchyard
