#include "runtime/slot_table.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {

std::vector<int64_t> share_out(int64_t total, std::span<const int64_t> weights, int64_t least) {
  const int64_t sum = std::accumulate(weights.begin(), weights.end(), int64_t{0});
  std::vector<int64_t> parts;
  int64_t left = total;
  for (const int64_t weight : weights) {
    const int64_t part = sum == 0 ? 0 : total * weight / sum;
    parts.push_back(weight > 0 ? std::max(part, std::min(least, weight)) : 0);
    left -= parts.back();
  }
  while (left != 0) {
    // Whoever is farthest from its due; never more than its weight, never less than `least`.
    size_t best = parts.size();
    double best_gap = 0.0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const bool can = left > 0 ? parts[i] < weights[i] : parts[i] > least;
      if (!can) continue;
      const double due =
          static_cast<double>(total) * static_cast<double>(weights[i]) / static_cast<double>(sum);
      const double gap = (due - static_cast<double>(parts[i])) * (left > 0 ? 1.0 : -1.0);
      if (best < parts.size() && gap <= best_gap) continue;
      best = i;
      best_gap = gap;
    }
    if (best == parts.size()) break;
    parts[best] += left > 0 ? 1 : -1;
    left += left > 0 ? -1 : 1;
  }
  return parts;
}

SlotTable::SlotTable(std::span<const int64_t> layer_sizes, int64_t num_slots, CacheScope scope,
                     EvictionPolicy policy)
    : scope_(scope), policy_(std::move(policy)), layer_begin_(1, 0) {
  for (const int64_t size : layer_sizes) layer_begin_.push_back(layer_begin_.back() + size);
  const auto num_experts = static_cast<size_t>(layer_begin_.back());
  SWITCHYARD_CHECK(num_slots <= layer_begin_.back(), num_slots, " slots for ", num_experts);
  slot_of_.assign(num_experts, kNone);
  pins_.assign(num_experts, 0);
  expected_.assign(num_experts, false);
  group_slots_ = scope == CacheScope::kGlobal ? std::vector<int64_t>{num_slots}
                                              : share_out(num_slots, layer_sizes, 1);
  for (size_t group = 0; group < group_slots_.size(); ++group) {
    for (int64_t i = 0; i < group_slots_[group]; ++i) {
      slots_.emplace_back().group = static_cast<int64_t>(group);
    }
  }
  SWITCHYARD_CHECK(this->num_slots() == num_slots, "slots that cannot be shared out");
}

int64_t SlotTable::layer_of(int64_t expert) const {
  const auto after = std::ranges::upper_bound(layer_begin_, expert);
  return after - layer_begin_.begin() - 1;
}

int64_t SlotTable::group_of(int64_t expert) const {
  return scope_ == CacheScope::kGlobal ? 0 : layer_of(expert);
}

int64_t SlotTable::slots_of_layer(int64_t layer) const {
  return group_slots_[scope_ == CacheScope::kGlobal ? 0 : static_cast<size_t>(layer)];
}

int64_t SlotTable::streaming_limit(int64_t layer) const {
  const int64_t slots = slots_of_layer(layer);
  return std::min(slots, std::max({int64_t{2}, slots / 4, streaming_}));
}

std::vector<int64_t> SlotTable::first_experts() const {
  std::vector<int64_t> sizes;
  for (int64_t layer = 0; layer < num_layers(); ++layer) {
    sizes.push_back(first_of(layer + 1) - first_of(layer));
  }
  std::vector<int64_t> shares =
      scope_ == CacheScope::kGlobal ? share_out(num_slots(), sizes, 0) : group_slots_;
  const bool by_use = policy_.kind() == CachePolicy::kStatic;
  if (by_use && scope_ == CacheScope::kGlobal) shares = sizes;
  std::vector<int64_t> experts;
  for (size_t layer = 0; layer < sizes.size(); ++layer) {
    std::vector<int64_t> ranked(static_cast<size_t>(sizes[layer]));
    std::iota(ranked.begin(), ranked.end(), first_of(static_cast<int64_t>(layer)));
    rank_by_earlier_use(ranked);
    ranked.resize(static_cast<size_t>(shares[layer]));
    experts.insert(experts.end(), ranked.begin(), ranked.end());
  }
  rank_by_earlier_use(experts);
  experts.resize(std::min(experts.size(), slots_.size()));
  std::ranges::sort(experts);  // the order of the files
  return experts;
}

void SlotTable::rank_by_earlier_use(std::vector<int64_t>& experts) const {
  std::ranges::stable_sort(experts, std::greater{},
                           [this](int64_t expert) { return policy_.earlier_uses(expert); });
}

void SlotTable::unpin(int64_t expert) {
  int& pins = pins_[static_cast<size_t>(expert)];
  SWITCHYARD_CHECK(pins > 0, "expert ", expert, " is not pinned");
  --pins;
}

bool SlotTable::may_go(const Slot& slot) const {
  return slot.expert != kNone && slot.is_filled && !is_pinned(slot.expert) &&
         !is_expected(slot.expert);
}

int64_t SlotTable::find_empty(int64_t group) const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].group == group && slots_[i].expert == kNone) return static_cast<int64_t>(i);
  }
  return kNone;
}

int64_t SlotTable::find_streaming(int64_t group) const {
  int64_t best = kNone;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.group != group || !slot.is_streaming || !may_go(slot)) continue;
    if (best != kNone && slots_[static_cast<size_t>(best)].used_at <= slot.used_at) continue;
    best = static_cast<int64_t>(i);
  }
  return best;
}

template <typename MayTake>
int64_t SlotTable::choose(int64_t group, const MayTake& may_take) const {
  std::vector<int64_t> candidates;
  for (const Slot& slot : slots_) {
    if (slot.group == group && may_take(slot)) candidates.push_back(slot.expert);
  }
  return candidates.empty() ? kNone : slot_of(policy_.victim(candidates));
}

int64_t SlotTable::find_victim(int64_t group) const {
  // What came ahead and was not needed after all goes before everything that was.
  const int64_t unused =
      choose(group, [this](const Slot& slot) { return may_go(slot) && slot.is_unused; });
  return unused != kNone ? unused
                         : choose(group, [this](const Slot& slot) { return may_go(slot); });
}

int64_t SlotTable::find_slot(int64_t expert) const {
  const int64_t group = group_of(expert);
  if (const int64_t empty = find_empty(group); empty != kNone) return empty;
  if (regime_ == SlotRegime::kCached) return find_victim(group);
  if (const int64_t streaming = find_streaming(group); streaming != kNone) return streaming;
  const int64_t num_streaming = std::ranges::count_if(
      slots_, [group](const Slot& slot) { return slot.group == group && slot.is_streaming; });
  const bool may_add = num_streaming < streaming_limit(layer_of(expert));
  return may_add ? find_victim(group) : kNone;
}

int64_t SlotTable::find_slot_by_force(int64_t expert, std::span<const int64_t> kept) const {
  const int64_t group = group_of(expert);
  if (const int64_t victim = find_victim(group); victim != kNone) return victim;
  const int64_t expected = choose(group, [this](const Slot& slot) {
    return slot.is_filled && slot.expert != kNone && !is_pinned(slot.expert);
  });
  if (expected != kNone) return expected;
  return choose(group, [&](const Slot& slot) {
    return slot.is_filled && slot.expert != kNone &&
           std::ranges::find(kept, slot.expert) == kept.end();
  });
}

int64_t SlotTable::give(int64_t slot_number, int64_t expert, SlotPurpose purpose) {
  Slot& slot = slots_[static_cast<size_t>(slot_number)];
  const int64_t before = slot.expert;
  if (before != kNone) slot_of_[static_cast<size_t>(before)] = kNone;
  // A sweep turns what it takes into a streaming slot; the cache makes it one of its own again.
  slot.is_streaming = regime_ == SlotRegime::kSweep && (before != kNone || slot.is_streaming);
  slot.expert = expert;
  slot.is_filled = false;
  slot.is_unused = purpose == SlotPurpose::kAhead;
  slot_of_[static_cast<size_t>(expert)] = slot_number;
  return before;
}

void SlotTable::clear(int64_t slot_number) {
  Slot& slot = slots_[static_cast<size_t>(slot_number)];
  slot_of_[static_cast<size_t>(slot.expert)] = kNone;
  slot.expert = kNone;
  slot.is_filled = false;
  slot.is_unused = false;
}

void SlotTable::set_used(int64_t slot_number) {
  Slot& slot = slots_[static_cast<size_t>(slot_number)];
  slot.is_unused = false;
  slot.used_at = ++clock_;
}

}  // namespace switchyard
