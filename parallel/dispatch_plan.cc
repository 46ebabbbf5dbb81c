#include "parallel/dispatch_plan.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// The greedy distribution of rows to rounds, the same on every rank.
class RoundBuilder {
 public:
  RoundBuilder(const LayerPlacement& placement, std::span<const int32_t> counts,
               const RoundLimits& limits)
      : placement_(placement), limits_(limits), remaining_(counts.begin(), counts.end()) {
    const int num_ranks = placement.num_ranks();
    for (int rank = 0; rank < num_ranks; ++rank) next_.push_back(placement.first_instance(rank));
    rows_left_ = std::accumulate(remaining_.begin(), remaining_.end(), int64_t{0});
  }

  bool done() const { return rows_left_ == 0; }

  /// The transfers of the next round, by owner, then instance, then source. The owner that is
  /// served first changes from round to round, so that none is starved of send budget.
  std::vector<Transfer> next_round() {
    const int num_ranks = placement_.num_ranks();
    send_budget_.assign(static_cast<size_t>(num_ranks), limits_.max_rows);
    gateway_budget_ = send_budget_;
    std::vector<Transfer> transfers;
    for (int i = 0; i < num_ranks; ++i) fill_owner((i + round_) % num_ranks, transfers);
    ++round_;
    return transfers;
  }

 private:
  void fill_owner(int owner, std::vector<Transfer>& transfers) {
    int64_t recv_budget = limits_.max_rows;
    int64_t experts_left = limits_.max_experts.empty()
                               ? placement_.num_instances()
                               : limits_.max_experts[static_cast<size_t>(owner)];
    int64_t& instance = next_[static_cast<size_t>(owner)];
    while (instance < placement_.first_instance(owner + 1)) {
      if (rows_of(instance) > 0) {
        if (experts_left == 0 || recv_budget == 0) return;
        --experts_left;
        recv_budget -= take(instance, recv_budget, transfers);
        if (rows_of(instance) > 0) return;
      }
      ++instance;
    }
  }

  /// Moves what the budgets allow of one instance's rows into the round; returns the rows.
  int64_t take(int64_t instance, int64_t budget, std::vector<Transfer>& transfers) {
    int64_t taken = 0;
    for (int source = 0; source < placement_.num_ranks(); ++source) {
      int64_t& available = remaining_[index(source, instance)];
      int64_t& send = send_budget_[static_cast<size_t>(source)];
      int64_t& pass = gateway_budget_[gateway_of(source, instance)];
      const int64_t rows = std::min({available, send, pass, budget - taken});
      if (rows == 0) continue;
      pass -= rows;
      transfers.push_back({source, instance, rows});
      available -= rows;
      send -= rows;
      taken += rows;
    }
    rows_left_ -= taken;
    return taken;
  }

  /// Without nodes each source is the gateway of all its rows.
  size_t gateway_of(int source, int64_t instance) const {
    if (limits_.nodes == nullptr) return static_cast<size_t>(source);
    const int node = limits_.nodes->node(placement_.rank_of(instance));
    return static_cast<size_t>(limits_.nodes->gateway(source, node));
  }

  int64_t rows_of(int64_t instance) const {
    int64_t rows = 0;
    for (int source = 0; source < placement_.num_ranks(); ++source) {
      rows += remaining_[index(source, instance)];
    }
    return rows;
  }

  size_t index(int source, int64_t instance) const {
    return static_cast<size_t>(source * placement_.num_instances() + instance);
  }

  const LayerPlacement& placement_;
  const RoundLimits& limits_;
  std::vector<int64_t> remaining_;       // [ranks, instances]
  std::vector<int64_t> next_;            // [ranks], the instance each owner continues with
  std::vector<int64_t> send_budget_;     // [ranks], of the running round
  std::vector<int64_t> gateway_budget_;  // [ranks], likewise
  int64_t rows_left_ = 0;
  int round_ = 0;
};

/// This rank's copies sorted by instance (stable), with a cursor for each instance.
struct SortedCopies {
  std::vector<int32_t> copies;
  std::vector<int64_t> cursor;  // [instances]: the next of `copies` to send there

  SortedCopies(std::span<const int32_t> instances, int64_t num_instances)
      : cursor(static_cast<size_t>(num_instances), 0) {
    std::vector<int64_t> end(static_cast<size_t>(num_instances) + 1, 0);
    for (const int32_t instance : instances) {
      if (instance >= 0) ++end[static_cast<size_t>(instance) + 1];
    }
    std::partial_sum(end.begin(), end.end(), end.begin());
    std::copy(end.begin(), end.end() - 1, cursor.begin());
    std::vector<int64_t> place = cursor;
    copies.resize(static_cast<size_t>(end.back()));
    for (size_t copy = 0; copy < instances.size(); ++copy) {
      if (instances[copy] < 0) continue;
      const size_t at = static_cast<size_t>(place[static_cast<size_t>(instances[copy])]++);
      copies[at] = static_cast<int32_t>(copy);
    }
  }
};

/// The sending side of a round, in order of gateway and instance: instances ascend with their
/// ranks.
void fill_sent(const LayerPlacement& placement, int rank, const NodeMap* nodes,
               const std::vector<Transfer>& transfers, SortedCopies& sorted, DispatchRound& round) {
  std::vector<Transfer> mine;
  std::ranges::copy_if(transfers, std::back_inserter(mine),
                       [&](const Transfer& transfer) { return transfer.source == rank; });
  std::ranges::sort(mine, {}, [&](const Transfer& transfer) {
    const int owner = placement.rank_of(transfer.instance);
    return std::pair(nodes == nullptr ? 0 : nodes->gateway(rank, nodes->node(owner)),
                     transfer.instance);
  });
  for (const Transfer& transfer : mine) {
    const int owner = placement.rank_of(transfer.instance);
    round.send_rows[static_cast<size_t>(owner)] += transfer.rows;
    int64_t& cursor = sorted.cursor[static_cast<size_t>(transfer.instance)];
    const auto begin = sorted.copies.begin() + cursor;
    round.sent_copies.insert(round.sent_copies.end(), begin, begin + transfer.rows);
    cursor += transfer.rows;
  }
}

/// Where the rows of each source begin among those that a rank receives: by source, through
/// gateways by (gateway, source).
std::vector<int64_t> arrivals(const std::vector<int64_t>& recv_rows, int rank,
                              const NodeMap* nodes) {
  std::vector<int> sources(recv_rows.size());
  std::iota(sources.begin(), sources.end(), 0);
  if (nodes != nullptr) {
    std::ranges::stable_sort(sources, {},
                             [&](int source) { return nodes->gateway(source, nodes->node(rank)); });
  }
  std::vector<int64_t> begin(recv_rows.size(), 0);
  int64_t next = 0;
  for (const int source : sources) {
    begin[static_cast<size_t>(source)] = next;
    next += recv_rows[static_cast<size_t>(source)];
  }
  return begin;
}

/// The receiving side: rows arrive as arrivals() says, within a source by instance, and are grouped
/// by (instance, source).
void fill_received(const LayerPlacement& placement, int rank, const NodeMap* nodes,
                   const std::vector<Transfer>& transfers, DispatchRound& round) {
  const int64_t first = placement.first_instance(rank);
  const int64_t last = placement.first_instance(rank + 1);
  std::vector<Transfer> mine;
  for (const Transfer& transfer : transfers) {
    if (transfer.instance < first || transfer.instance >= last) continue;
    mine.push_back(transfer);
    round.recv_rows[static_cast<size_t>(transfer.source)] += transfer.rows;
  }
  std::vector<int64_t> arrival = arrivals(round.recv_rows, rank, nodes);
  round.row_offsets.push_back(0);
  for (const Transfer& transfer : mine) {
    const int64_t slot = transfer.instance - first;
    if (round.slots.empty() || round.slots.back() != slot) {
      round.slots.push_back(slot);
      round.row_offsets.push_back(round.row_offsets.back());
    }
    int64_t& next = arrival[static_cast<size_t>(transfer.source)];
    for (int64_t row = 0; row < transfer.rows; ++row) {
      round.grouped_from.push_back(static_cast<int32_t>(next++));
    }
    round.row_offsets.back() += transfer.rows;
  }
}

}  // namespace

void reorder_experts(std::span<const int64_t> slots, DispatchRound& round) {
  if (std::ranges::equal(slots, round.slots)) return;
  std::vector<int64_t> offsets = {0};
  std::vector<int32_t> grouped_from;
  grouped_from.reserve(round.grouped_from.size());
  for (const int64_t slot : slots) {
    // Ascending, as plan_dispatch leaves them.
    const auto found = std::ranges::lower_bound(round.slots, slot);
    SWITCHYARD_CHECK(found != round.slots.end() && *found == slot, "slot ", slot);
    const auto at = static_cast<size_t>(found - round.slots.begin());
    grouped_from.insert(grouped_from.end(), round.grouped_from.begin() + round.row_offsets[at],
                        round.grouped_from.begin() + round.row_offsets[at + 1]);
    offsets.push_back(static_cast<int64_t>(grouped_from.size()));
  }
  SWITCHYARD_CHECK(slots.size() == round.slots.size());
  round.slots.assign(slots.begin(), slots.end());
  round.row_offsets = std::move(offsets);
  round.grouped_from = std::move(grouped_from);
}

std::vector<int32_t> count_instances(std::span<const int32_t> instances, int64_t num_instances) {
  std::vector<int32_t> counts(static_cast<size_t>(num_instances), 0);
  for (const int32_t instance : instances) {
    if (instance >= 0) ++counts[static_cast<size_t>(instance)];
  }
  return counts;
}

DispatchPlan plan_dispatch(const LayerPlacement& placement, int rank,
                           std::span<const int32_t> counts, std::span<const int32_t> instances,
                           int64_t top_k, const RoundLimits& limits) {
  const int num_ranks = placement.num_ranks();
  const int64_t num_instances = placement.num_instances();
  SWITCHYARD_CHECK(static_cast<int64_t>(counts.size()) == num_ranks * num_instances);
  SWITCHYARD_CHECK(limits.max_rows > 0);
  SWITCHYARD_CHECK(std::ranges::equal(counts.subspan(static_cast<size_t>(rank * num_instances),
                                                     static_cast<size_t>(num_instances)),
                                      count_instances(instances, num_instances)),
                   "the gathered counts of rank ", rank, " are not its own");
  DispatchPlan plan;
  plan.rows_of_rank.assign(static_cast<size_t>(num_ranks), 0);
  for (size_t i = 0; i < counts.size(); ++i) {
    const int owner = placement.rank_of(static_cast<int64_t>(i) % num_instances);
    plan.rows_of_rank[static_cast<size_t>(owner)] += counts[i];
  }
  RoundBuilder builder(placement, counts, limits);
  SortedCopies sorted(instances, num_instances);
  while (!builder.done()) {
    const std::vector<Transfer> transfers = builder.next_round();
    SWITCHYARD_CHECK(!transfers.empty(), "a rank with rows announced no room for an expert");
    DispatchRound& round = plan.rounds.emplace_back();
    round.send_rows.assign(static_cast<size_t>(num_ranks), 0);
    round.recv_rows.assign(static_cast<size_t>(num_ranks), 0);
    fill_sent(placement, rank, limits.nodes, transfers, sorted, round);
    for (const int32_t copy : round.sent_copies) {
      round.sent_tokens.push_back(static_cast<int32_t>(copy / top_k));
    }
    fill_received(placement, rank, limits.nodes, transfers, round);
    if (limits.nodes != nullptr) round.transfers = transfers;
  }
  return plan;
}

}  // namespace switchyard
