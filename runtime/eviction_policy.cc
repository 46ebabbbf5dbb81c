#include "runtime/eviction_policy.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {

EvictionPolicy::EvictionPolicy(CachePolicy policy, int64_t num_experts,
                               std::vector<int64_t> earlier_uses)
    : policy_(policy),
      earlier_uses_(std::move(earlier_uses)),
      uses_(static_cast<size_t>(num_experts), 0),
      last_use_(static_cast<size_t>(num_experts), 0) {
  SWITCHYARD_CHECK(policy != CachePolicy::kStatic || earlier_uses_.size() == uses_.size(),
                   "a static policy for ", num_experts, " experts");
}

void EvictionPolicy::record_use(int64_t expert) {
  ++uses_[static_cast<size_t>(expert)];
  last_use_[static_cast<size_t>(expert)] = ++clock_;
}

EvictionPolicy::Rank EvictionPolicy::rank_of(int64_t expert) const {
  const auto at = static_cast<size_t>(expert);
  switch (policy_) {
    case CachePolicy::kLru:
      return {0, last_use_[at], expert};
    case CachePolicy::kLfu:
      return {uses_[at], last_use_[at], expert};
    case CachePolicy::kStatic:
      break;
  }
  return {earlier_uses_[at], last_use_[at], expert};
}

int64_t EvictionPolicy::victim(std::span<const int64_t> candidates) const {
  SWITCHYARD_CHECK(!candidates.empty());
  return *std::ranges::min_element(candidates, {},
                                   [this](int64_t expert) { return rank_of(expert); });
}

}  // namespace switchyard
