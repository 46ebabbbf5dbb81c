// Which of the experts in fast memory is given up for another.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

namespace switchyard {

/// What decides which expert is given up.
enum class CachePolicy : uint8_t {
  kLru,     ///< the one whose last use lies longest back
  kLfu,     ///< the one used least often; of equals the least recently used
  kStatic,  ///< the one used least in an earlier run; of equals the least recently used
};

/// Among which experts.
enum class CacheScope : uint8_t {
  kGlobal,  ///< all layers share all slots
  kLayer,   ///< every layer has slots of its own, in proportion to its experts
};

/// The order in which experts are given up. Experts have numbers 0, 1, ..., n - 1. Plain
/// bookkeeping: the cache and its simulation use the same.
class EvictionPolicy {
 public:
  /// `earlier_uses` [num_experts] is for kStatic and empty otherwise.
  EvictionPolicy(CachePolicy policy, int64_t num_experts, std::vector<int64_t> earlier_uses = {});

  /// The expert is needed now.
  void record_use(int64_t expert);

  CachePolicy kind() const { return policy_; }
  /// Of the earlier run; 0 where there was none.
  int64_t earlier_uses(int64_t expert) const {
    return earlier_uses_.empty() ? 0 : earlier_uses_[static_cast<size_t>(expert)];
  }

  /// The one of `candidates`, at least one, to give up first.
  int64_t victim(std::span<const int64_t> candidates) const;

  /// An expert's place in the order: who has the least is given up first.
  struct Rank {
    int64_t worth = 0;
    int64_t last_use = 0;
    int64_t expert = 0;  // so that the choice is the same everywhere
    friend auto operator<=>(const Rank&, const Rank&) = default;
  };
  /// Changes with each use of the expert, and with no other.
  Rank rank_of(int64_t expert) const;

 private:
  CachePolicy policy_;
  std::vector<int64_t> earlier_uses_;
  std::vector<int64_t> uses_;
  std::vector<int64_t> last_use_;  // 0: never
  int64_t clock_ = 0;
};

}  // namespace switchyard
