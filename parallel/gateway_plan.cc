#include "parallel/gateway_plan.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

size_t place_of(const std::vector<int>& ranks, int rank) {
  return static_cast<size_t>(std::ranges::lower_bound(ranks, rank) - ranks.begin());
}

/// Numbers the tokens of each gateway in the order of their first row.
void fill_source(DispatchRound& round, std::vector<std::vector<int32_t>>& told) {
  size_t row = 0;
  for (size_t member = 0; member < told.size(); ++member) {
    std::unordered_map<int32_t, int32_t> number_of_token;
    for (int64_t i = 0; i < round.gateway.rows_in[member]; ++i, ++row) {
      const int32_t token = round.sent_tokens[row];
      const auto [found, is_new] =
          number_of_token.emplace(token, static_cast<int32_t>(number_of_token.size()));
      if (is_new) round.gateway.tokens.push_back(token);
      told[member].push_back(found->second);
    }
    round.gateway.tokens_out[member] = static_cast<int64_t>(number_of_token.size());
  }
}

}  // namespace

GatewayMessage plan_sources(const LayerPlacement& placement, const NodeMap& nodes, int rank,
                            DispatchPlan& plan) {
  const std::vector<int> rail = nodes.ranks_of_rail(nodes.rail(rank));
  const std::vector<int>& node = nodes.ranks_of_node(nodes.node(rank));
  GatewayMessage message;
  message.sent_counts.assign(rail.size(), 0);
  message.recv_counts.assign(rail.size(), 0);
  std::vector<std::vector<int32_t>> told(rail.size());
  for (DispatchRound& round : plan.rounds) {
    GatewayRound& mine = round.gateway;
    for (auto* of_rail : {&mine.tokens_out, &mine.tokens_in, &mine.rows_out, &mine.rows_in}) {
      of_rail->assign(rail.size(), 0);
    }
    mine.node_out.assign(node.size(), 0);
    mine.node_in.assign(node.size(), 0);
    for (const Transfer& transfer : round.transfers) {
      const int owner = placement.rank_of(transfer.instance);
      const int gateway = nodes.gateway(transfer.source, nodes.node(owner));
      if (transfer.source == rank) mine.rows_in[place_of(rail, gateway)] += transfer.rows;
      if (gateway == rank) mine.rows_out[place_of(rail, transfer.source)] += transfer.rows;
      if (gateway == rank) mine.node_out[place_of(node, owner)] += transfer.rows;
      if (owner == rank) mine.node_in[place_of(node, gateway)] += transfer.rows;
    }
    fill_source(round, told);
    for (size_t member = 0; member < rail.size(); ++member) {
      message.recv_counts[member] += mine.rows_out[member];
    }
  }
  for (size_t member = 0; member < rail.size(); ++member) {
    message.sent_counts[member] = static_cast<int64_t>(told[member].size());
    message.sent.insert(message.sent.end(), told[member].begin(), told[member].end());
  }
  return message;
}

namespace {

/// One run of rows that a gateway passes on.
struct Passage {
  int owner;
  int source;
  int64_t instance;
  int64_t rows;
  int64_t first_return;  // place of its first row among those that go back
};

std::vector<Passage> passages(const LayerPlacement& placement, const NodeMap& nodes, int rank,
                              const DispatchRound& round) {
  std::vector<Passage> passed;
  for (const Transfer& transfer : round.transfers) {
    const int owner = placement.rank_of(transfer.instance);
    if (nodes.gateway(transfer.source, nodes.node(owner)) != rank) continue;
    passed.push_back({owner, transfer.source, transfer.instance, transfer.rows, 0});
  }
  std::ranges::sort(passed, {}, [](const Passage& p) { return std::pair(p.source, p.instance); });
  int64_t next = 0;
  for (Passage& passage : passed) {
    passage.first_return = next;
    next += passage.rows;
  }
  std::ranges::sort(passed, {},
                    [](const Passage& p) { return std::tuple(p.owner, p.source, p.instance); });
  return passed;
}

}  // namespace

void plan_gateway(const LayerPlacement& placement, const NodeMap& nodes, int rank,
                  const std::vector<int32_t>& received, DispatchPlan& plan) {
  const size_t rail_size = nodes.ranks_of_rail(nodes.rail(rank)).size();
  std::vector<int64_t> cursor(rail_size + 1, 0);  // where each source's next word stands
  for (const DispatchRound& round : plan.rounds) {
    for (size_t s = 0; s < rail_size; ++s) cursor[s + 1] += round.gateway.rows_out[s];
  }
  for (size_t s = 0; s < rail_size; ++s) cursor[s + 1] += cursor[s];
  SWITCHYARD_CHECK(static_cast<int64_t>(received.size()) == cursor.back());
  for (DispatchRound& round : plan.rounds) {
    GatewayRound& mine = round.gateway;
    std::vector<int32_t> token_of_return;
    int32_t first_token = 0;
    for (size_t s = 0; s < rail_size; ++s) {
      int32_t tokens = 0;
      for (int64_t row = 0; row < mine.rows_out[s]; ++row) {
        const int32_t token = received[static_cast<size_t>(cursor[s]++)];
        SWITCHYARD_CHECK(token >= 0 && token <= tokens, "token ", token, " of ", tokens);
        tokens = std::max(tokens, token + 1);
        token_of_return.push_back(first_token + token);
      }
      mine.tokens_in[s] = tokens;
      first_token += tokens;
    }
    mine.collect_from.resize(token_of_return.size());
    for (const Passage& passage : passages(placement, nodes, rank, round)) {
      for (int64_t at = passage.first_return; at < passage.first_return + passage.rows; ++at) {
        mine.collect_from[static_cast<size_t>(at)] = static_cast<int32_t>(mine.spread_from.size());
        mine.spread_from.push_back(token_of_return[static_cast<size_t>(at)]);
      }
    }
  }
}

ExchangedRows count_rows(const NodeMap& nodes, int rank, const DispatchPlan& plan) {
  ExchangedRows sum;
  const std::vector<int> rail = nodes.ranks_of_rail(nodes.rail(rank));
  const std::vector<int>& node = nodes.ranks_of_node(nodes.node(rank));
  const auto add = [&](int peer, int64_t rows) {
    if (peer == rank) return;
    (nodes.node(peer) == nodes.node(rank) ? sum.inside : sum.across) += rows;
  };
  for (const DispatchRound& round : plan.rounds) {
    const GatewayRound& mine = round.gateway;
    for (size_t i = 0; i < mine.tokens_out.size(); ++i) {
      add(rail[i], mine.tokens_out[i] + mine.rows_out[i]);
    }
    for (size_t i = 0; i < mine.node_out.size(); ++i)
      add(node[i], mine.node_out[i] + mine.node_in[i]);
    if (!mine.tokens_out.empty()) continue;
    for (size_t peer = 0; peer < round.send_rows.size(); ++peer) {
      add(static_cast<int>(peer), round.send_rows[peer] + round.recv_rows[peer]);
    }
  }
  return sum;
}

}  // namespace switchyard
