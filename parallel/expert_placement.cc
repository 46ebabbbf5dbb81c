#include "parallel/expert_placement.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

void check_ranks(const std::vector<int>& ranks, size_t expert, int num_ranks) {
  if (ranks.empty()) fail_input("expert placement: expert ", expert, " is on no rank");
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i] < 0 || ranks[i] >= num_ranks) {
      fail_input("expert placement: expert ", expert, " is on rank ", ranks[i],
                 ", but the job has ranks 0 to ", num_ranks - 1);
    }
    if (std::count(ranks.begin(), ranks.end(), ranks[i]) > 1) {
      fail_input("expert placement: expert ", expert, " is on rank ", ranks[i], " twice");
    }
  }
}

}  // namespace

LayerPlacement::LayerPlacement(const std::vector<std::vector<int>>& ranks_of_expert, int num_ranks)
    : first_instance_(static_cast<size_t>(num_ranks) + 1, 0),
      instances_of_expert_(ranks_of_expert.size()) {
  std::vector<std::vector<int64_t>> experts_of_rank(static_cast<size_t>(num_ranks));
  for (size_t expert = 0; expert < ranks_of_expert.size(); ++expert) {
    check_ranks(ranks_of_expert[expert], expert, num_ranks);
    for (const int rank : ranks_of_expert[expert]) {
      experts_of_rank[static_cast<size_t>(rank)].push_back(static_cast<int64_t>(expert));
    }
  }
  for (size_t rank = 0; rank < experts_of_rank.size(); ++rank) {
    for (const int64_t expert : experts_of_rank[rank]) {
      instances_of_expert_[static_cast<size_t>(expert)].push_back(
          static_cast<int64_t>(expert_of_instance_.size()));
      expert_of_instance_.push_back(expert);
      rank_of_instance_.push_back(static_cast<int>(rank));
    }
    first_instance_[rank + 1] = static_cast<int64_t>(expert_of_instance_.size());
  }
}

LayerPlacement contiguous_placement(int64_t num_experts, int num_ranks) {
  std::vector<std::vector<int>> ranks(static_cast<size_t>(num_experts));
  for (int rank = 0; rank < num_ranks; ++rank) {
    const int64_t begin = num_experts * rank / num_ranks;
    const int64_t end = num_experts * (rank + 1) / num_ranks;
    for (int64_t expert = begin; expert < end; ++expert) {
      ranks[static_cast<size_t>(expert)] = {rank};
    }
  }
  return LayerPlacement(ranks, num_ranks);
}

}  // namespace switchyard
