// Which rank holds which expert: data, not arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

/// Where the experts of one layer live. An *instance* is one copy of an expert on one rank;
/// instances are numbered rank by rank, so those of a rank are the range
/// [first_instance(r), first_instance(r + 1)) and an instance's local slot is its number minus
/// first_instance(rank). Without copies and with the contiguous default, instance = expert.
class LayerPlacement {
 public:
  /// `ranks_of_expert[e]` lists the ranks that hold expert e, at least one, none twice. Throws
  /// Error(kInput), naming the expert, if that or 0 <= rank < num_ranks does not hold.
  LayerPlacement(const std::vector<std::vector<int>>& ranks_of_expert, int num_ranks);

  int64_t num_experts() const { return static_cast<int64_t>(instances_of_expert_.size()); }
  int num_ranks() const { return static_cast<int>(first_instance_.size()) - 1; }
  int64_t num_instances() const { return first_instance_.back(); }
  int64_t first_instance(int rank) const { return first_instance_[static_cast<size_t>(rank)]; }
  int64_t num_local_experts(int rank) const {
    return first_instance(rank + 1) - first_instance(rank);
  }
  /// The expert that an instance is a copy of.
  int64_t expert_of(int64_t instance) const {
    return expert_of_instance_[static_cast<size_t>(instance)];
  }

  /// The rank that holds an instance.
  int rank_of(int64_t instance) const { return rank_of_instance_[static_cast<size_t>(instance)]; }

  /// The instance that serves choice `k` of the row at `position` of `sequence`: a pure function of
  /// these, so that the schedule never decides where a row is computed.
  int64_t instance_for(int64_t expert, int64_t sequence, int64_t position, int64_t k) const {
    const std::vector<int64_t>& instances = instances_of_expert_[static_cast<size_t>(expert)];
    const size_t turn = static_cast<size_t>(sequence * 31 + position * 7 + k);
    return instances[instances.size() == 1 ? 0 : turn % instances.size()];
  }

 private:
  std::vector<int64_t> first_instance_;                    // [ranks + 1]
  std::vector<int64_t> expert_of_instance_;                // [instances]
  std::vector<int> rank_of_instance_;                      // [instances]
  std::vector<std::vector<int64_t>> instances_of_expert_;  // [experts][copies], by rank
};

/// Expert e of E on rank floor(e * R / E) ... contiguous ranges whose sizes differ by at most one;
/// with more ranks than experts some ranks hold none.
LayerPlacement contiguous_placement(int64_t num_experts, int num_ranks);

}  // namespace switchyard
