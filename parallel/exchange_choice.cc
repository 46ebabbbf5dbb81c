#include "parallel/exchange_choice.h"

#include <string>
#include <utility>
#include <vector>

#include "kernels/base/byte_codec.h"
#include "parallel/two_level_dispatcher.h"

namespace switchyard {

NodeMap discover_nodes(ControlChannel& control, const Topology& topology,
                       const ExchangeRequest& request) {
  ByteWriter writer;
  writer.put(request.ranks_per_node ? control.rank() / *request.ranks_per_node : topology.node);
  std::vector<int> node_of_rank;
  for (const std::string& message : control.all_gather(writer.bytes(), {.phase = "nodes"})) {
    node_of_rank.push_back(ByteReader(message).get<int>());
  }
  return NodeMap(std::move(node_of_rank));
}

ExchangeKind choose_exchange(ExchangeKind wanted, const NodeMap& nodes) {
  if (wanted != ExchangeKind::kAuto) return wanted;
  const bool has_several = nodes.num_nodes() > 1 && nodes.num_nodes() < nodes.num_ranks();
  return has_several ? ExchangeKind::kTwoLevel : ExchangeKind::kDirect;
}

int64_t exchange_bytes_per_row(ExchangeKind kind, int64_t hidden_size) {
  return kind == ExchangeKind::kTwoLevel ? TwoLevelDispatcher::bytes_per_row(hidden_size)
                                         : TokenDispatcher::bytes_per_row(hidden_size);
}

std::unique_ptr<RowExchange> make_exchange(ExchangeKind kind, const NodeMap& nodes,
                                           const ExchangeParts& parts) {
  if (kind != ExchangeKind::kTwoLevel) {
    return std::make_unique<TokenDispatcher>(parts.backend, parts.experts, parts.compute,
                                             parts.exchange, parts.sizes);
  }
  return std::make_unique<TwoLevelDispatcher>(parts.backend, parts.experts, nodes, parts.compute,
                                              parts.exchange, parts.sizes);
}

}  // namespace switchyard
