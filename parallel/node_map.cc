#include "parallel/node_map.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {

NodeMap::NodeMap(std::vector<int> node_of_rank) : node_of_rank_(std::move(node_of_rank)) {
  for (int rank = 0; rank < num_ranks(); ++rank) {
    SWITCHYARD_CHECK(node(rank) >= 0 && node(rank) < num_ranks(), "node ", node(rank));
    const size_t place = static_cast<size_t>(node(rank));
    if (ranks_of_node_.size() <= place) ranks_of_node_.resize(place + 1);
    local_.push_back(static_cast<int>(ranks_of_node_[place].size()));
    ranks_of_node_[place].push_back(rank);
  }
  num_rails_ = num_ranks();
  for (const std::vector<int>& ranks : ranks_of_node_) {
    SWITCHYARD_CHECK(!ranks.empty(), "a node without ranks");
    num_rails_ = std::min(num_rails_, static_cast<int>(ranks.size()));
  }
}

std::vector<int> NodeMap::ranks_of_rail(int wanted) const {
  std::vector<int> ranks;
  for (int rank = 0; rank < num_ranks(); ++rank) {
    if (rail(rank) == wanted) ranks.push_back(rank);
  }
  return ranks;
}

int NodeMap::gateway(int source, int destination) const {
  const std::vector<int>& ranks = ranks_of_node(destination);
  const int first = rail(source);
  const int on_rail = (static_cast<int>(ranks.size()) - first + num_rails_ - 1) / num_rails_;
  const int turn = (local(source) / num_rails_) % on_rail;
  return ranks[static_cast<size_t>(first + turn * num_rails_)];
}

}  // namespace switchyard
