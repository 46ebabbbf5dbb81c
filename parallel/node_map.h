// Which ranks stand on which node, and who carries rows between nodes.
#pragma once

#include <cstddef>
#include <vector>

namespace switchyard {

/// The ranks of a group on their nodes. *Rail* c of the num_rails() rails, as many as the smallest
/// node has ranks, is every rank whose place on its node is c modulo num_rails(). Rows between
/// nodes stay on the source's rail, so that all ranks of a node share the work of its network.
class NodeMap {
 public:
  /// `node_of_rank[r]` in 0 ... N - 1, each node named at least once. Throws Error(kInternal) else.
  explicit NodeMap(std::vector<int> node_of_rank);

  int num_ranks() const { return static_cast<int>(node_of_rank_.size()); }
  int num_nodes() const { return static_cast<int>(ranks_of_node_.size()); }
  int num_rails() const { return num_rails_; }
  int node(int rank) const { return node_of_rank_[static_cast<size_t>(rank)]; }
  /// The place of a rank among those of its node.
  int local(int rank) const { return local_[static_cast<size_t>(rank)]; }
  int rail(int rank) const { return local(rank) % num_rails_; }
  const std::vector<int>& ranks_of_node(int node) const {
    return ranks_of_node_[static_cast<size_t>(node)];
  }
  /// Ascending.
  std::vector<int> ranks_of_rail(int rail) const;

  /// The rank of `node` that takes what `source` sends there, on the source's rail. On its own node
  /// a rank is its own gateway.
  int gateway(int source, int node) const;

 private:
  std::vector<int> node_of_rank_;
  std::vector<int> local_;                       // [ranks]
  std::vector<std::vector<int>> ranks_of_node_;  // [nodes], ascending
  int num_rails_ = 1;
};

}  // namespace switchyard
