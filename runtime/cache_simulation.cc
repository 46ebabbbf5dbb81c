#include "runtime/cache_simulation.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/slot_table.h"

namespace switchyard {
namespace {

using Rank = EvictionPolicy::Rank;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

/// One layer's entry of a log.
struct LayerEntry {
  size_t layer = 0;
  std::span<const int32_t> experts;
  size_t next = 0;  // where the next entry begins
};

/// The entry at a place of a valid log.
LayerEntry entry_at(const std::vector<int32_t>& log, size_t at) {
  const auto count = static_cast<size_t>(log[at + 1]);
  return {static_cast<size_t>(log[at]), std::span(log).subspan(at + 2, count), at + 2 + count};
}

/// Numbers of the layers' first experts, counted over all layers, and of all experts at the end.
std::vector<int64_t> first_experts(const std::vector<int64_t>& num_experts) {
  std::vector<int64_t> first(num_experts.size() + 1, 0);
  std::partial_sum(num_experts.begin(), num_experts.end(), first.begin() + 1);
  return first;
}

/// For each use, in which entry of the log the same expert is used next.
std::vector<int64_t> next_uses(const UseLog& uses, const std::vector<int64_t>& first) {
  std::vector<int64_t> experts;
  std::vector<int64_t> entries;
  int64_t number = 0;
  for (size_t at = 0; at < uses.log.size(); ++number) {
    const LayerEntry entry = entry_at(uses.log, at);
    for (const int32_t expert : entry.experts) {
      experts.push_back(first[entry.layer] + expert);
      entries.push_back(number);
    }
    at = entry.next;
  }
  std::vector<int64_t> next(experts.size());
  std::vector<int64_t> coming(static_cast<size_t>(first.back()), kNever);
  for (size_t i = experts.size(); i-- > 0;) {
    next[i] = std::exchange(coming[static_cast<size_t>(experts[i])], entries[i]);
  }
  return next;
}

/// The order in which experts are given up, by a policy of the cache or by what is to come.
class GivingUp {
 public:
  GivingUp(const UseLog& uses, const SimulatedCache& cache, const std::vector<int64_t>& first) {
    if (cache.policy == SimulatedPolicy::kOptimum) {
      next_uses_ = next_uses(uses, first);
      next_of_.assign(static_cast<size_t>(first.back()), kNever);
      return;
    }
    std::vector<int64_t> earlier;
    for (const std::vector<int64_t>& layer : cache.earlier_uses) {
      earlier.insert(earlier.end(), layer.begin(), layer.end());
    }
    const CachePolicy policy = cache.policy == SimulatedPolicy::kLru   ? CachePolicy::kLru
                               : cache.policy == SimulatedPolicy::kLfu ? CachePolicy::kLfu
                                                                       : CachePolicy::kStatic;
    policy_.emplace(policy, first.back(), std::move(earlier));
  }

  bool knows_the_future() const { return !policy_; }

  void record_use(int64_t expert) {
    if (policy_) return policy_->record_use(expert);
    next_of_[static_cast<size_t>(expert)] = next_uses_[num_uses_++];
  }

  Rank rank_of(int64_t expert) const {
    if (policy_) return policy_->rank_of(expert);
    return {-next_of_[static_cast<size_t>(expert)], 0, expert};
  }

 private:
  std::optional<EvictionPolicy> policy_;
  std::vector<int64_t> next_uses_;  // by use
  std::vector<int64_t> next_of_;    // by expert
  size_t num_uses_ = 0;
};

/// Slots that the same experts share.
struct SlotGroup {
  int64_t num_slots = 0;
  int64_t num_resident = 0;
  std::set<Rank> order;  // of the residents, who goes first in front
};

class Simulation {
 public:
  Simulation(const UseLog& uses, const SimulatedCache& cache)
      : first_(first_experts(uses.num_experts)),
        giving_up_(uses, cache, first_),
        is_resident_(static_cast<size_t>(first_.back()), 0) {
    std::vector<int64_t> slots = {cache.num_slots};
    if (cache.scope == CacheScope::kLayer) {
      // Too few for one each is what no cache is made with, but may be asked about.
      const bool is_enough = cache.num_slots >= static_cast<int64_t>(uses.num_experts.size());
      slots = share_out(cache.num_slots, uses.num_experts, is_enough ? 1 : 0);
    }
    for (const int64_t count : slots) groups_.emplace_back().num_slots = count;
  }

  void run(const LayerEntry& entry) {
    SlotGroup& group = groups_[groups_.size() > 1 ? entry.layer : 0];
    needed_.clear();
    missing_.clear();
    for (const int32_t expert : entry.experts) needed_.push_back(first_[entry.layer] + expert);
    for (const int64_t expert : needed_) {
      if (resident(expert)) {
        group.order.erase(giving_up_.rank_of(expert));
      } else {
        missing_.push_back(expert);
      }
      giving_up_.record_use(expert);
    }
    hits_.uses += static_cast<int64_t>(needed_.size());
    hits_.hits += static_cast<int64_t>(needed_.size() - missing_.size());
    if (giving_up_.knows_the_future()) choose_best(group);
    load_missing(group);
    for (const int64_t expert : needed_) {
      if (resident(expert)) group.order.insert(giving_up_.rank_of(expert));
    }
  }

  const SimulatedHits& hits() const { return hits_; }

 private:
  char& resident(int64_t expert) { return is_resident_[static_cast<size_t>(expert)]; }

  /// The optimum keeps of a layer's experts, where not all fit, those that are needed soonest.
  void choose_best(SlotGroup& group) {
    if (static_cast<int64_t>(needed_.size()) <= group.num_slots) return;
    for (const int64_t expert : needed_) {
      group.num_resident -= resident(expert);
      resident(expert) = 0;
    }
    missing_ = needed_;
    std::ranges::sort(missing_, std::greater<>(),
                      [this](int64_t expert) { return giving_up_.rank_of(expert); });
  }

  /// group.order holds no expert that is needed.
  void load_missing(SlotGroup& group) {
    for (const int64_t expert : missing_) {
      if (group.num_resident < group.num_slots) {
        ++group.num_resident;
      } else if (!group.order.empty()) {
        resident(group.order.begin()->expert) = 0;
        group.order.erase(group.order.begin());
      } else {
        return;
      }
      resident(expert) = 1;
    }
  }

  std::vector<int64_t> first_;
  GivingUp giving_up_;
  std::vector<char> is_resident_;
  std::vector<SlotGroup> groups_;
  std::vector<int64_t> needed_;
  std::vector<int64_t> missing_;
  SimulatedHits hits_;
};

}  // namespace

UseLog use_log(const CacheStats& stats) {
  UseLog uses;
  for (const std::vector<ExpertAccount>& layer : stats.experts) {
    uses.num_experts.push_back(static_cast<int64_t>(layer.size()));
  }
  uses.log = stats.log;
  return uses;
}

void validate(const UseLog& uses, const std::string& source) {
  const std::vector<int64_t> first = first_experts(uses.num_experts);
  std::vector<int64_t> seen_in(static_cast<size_t>(first.back()), -1);
  int64_t number = 0;
  for (size_t at = 0; at < uses.log.size(); ++number) {
    const auto fail = [&](const char* what) {
      fail_input(source, ": the log of uses ", what, " at its entry ", at,
                 "; expected a MoE layer, a count and as many experts of it, again and again");
    };
    const int64_t layer = uses.log[at];
    if (layer < 0 || layer >= static_cast<int64_t>(uses.num_experts.size())) {
      fail("names a layer that does not exist");
    }
    const auto left = static_cast<int64_t>(uses.log.size() - at) - 2;
    if (left < 0 || uses.log[at + 1] < 0 || uses.log[at + 1] > left) fail("is cut short");
    const LayerEntry entry = entry_at(uses.log, at);
    for (const int32_t expert : entry.experts) {
      if (expert < 0 || expert >= uses.num_experts[entry.layer]) {
        fail("names an expert that does not exist");
      }
      int64_t& seen = seen_in[static_cast<size_t>(first[entry.layer] + expert)];
      if (std::exchange(seen, number) == number) fail("names an expert twice");
    }
    at = entry.next;
  }
}

SimulatedHits simulate_cache(const UseLog& uses, const SimulatedCache& cache) {
  Simulation simulation(uses, cache);
  for (size_t at = 0; at < uses.log.size();) {
    const LayerEntry entry = entry_at(uses.log, at);
    simulation.run(entry);
    at = entry.next;
  }
  return simulation.hits();
}

std::vector<std::vector<int64_t>> count_uses(const UseLog& uses) {
  std::vector<std::vector<int64_t>> counts;
  for (const int64_t count : uses.num_experts) counts.emplace_back(static_cast<size_t>(count), 0);
  for (size_t at = 0; at < uses.log.size();) {
    const LayerEntry entry = entry_at(uses.log, at);
    for (const int32_t expert : entry.experts) ++counts[entry.layer][static_cast<size_t>(expert)];
    at = entry.next;
  }
  return counts;
}

void shorten_log(std::vector<int32_t>& log, size_t most) {
  if (log.size() <= most) return;
  size_t size = 0;
  for (size_t next = entry_at(log, 0).next; next <= most; next = entry_at(log, next).next) {
    size = next;
  }
  log.resize(size);
}

UseLog half_of(const UseLog& uses, LogHalf half) {
  size_t middle = 0;
  while (middle < uses.log.size() / 2) middle = entry_at(uses.log, middle).next;
  UseLog result{uses.num_experts, {}};
  const auto cut = uses.log.begin() + static_cast<std::ptrdiff_t>(middle);
  if (half == LogHalf::kFirst) {
    result.log.assign(uses.log.begin(), cut);
  } else {
    result.log.assign(cut, uses.log.end());
  }
  return result;
}

}  // namespace switchyard
