// Which expert is in which slot, and which slot is next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/eviction_policy.h"

namespace switchyard {

/// What a slot is wanted for.
enum class SlotPurpose : uint8_t {
  kNeeded,  ///< an expert of the running layer
  kAhead,   ///< an expert of a layer to come
};

/// How the slots of a layer's experts are found.
enum class SlotRegime : uint8_t {
  /// The policy decides who is given up: what was used lately is likely to be used soon.
  kCached,
  /// Most experts of every layer are needed, and more than there are slots: whoever was used last
  /// is needed latest, so a few streaming slots take turns and the other experts stay where they
  /// are.
  kSweep,
};

/// The bookkeeping of a cache's slots: no memory, no time, one thread. Experts have numbers 0, 1,
/// ... over all layers of the rank, layer after layer.
class SlotTable {
 public:
  static constexpr int64_t kNone = -1;

  /// `layer_sizes`: experts of each MoE layer. Slots of CacheScope::kLayer belong to layers in
  /// proportion to their experts, at least one each.
  SlotTable(std::span<const int64_t> layer_sizes, int64_t num_slots, CacheScope scope,
            EvictionPolicy policy);

  int64_t num_slots() const { return static_cast<int64_t>(slots_.size()); }
  int64_t num_experts() const { return static_cast<int64_t>(slot_of_.size()); }
  int64_t num_layers() const { return static_cast<int64_t>(layer_begin_.size()) - 1; }
  int64_t first_of(int64_t layer) const { return layer_begin_[static_cast<size_t>(layer)]; }
  int64_t layer_of(int64_t expert) const;
  int64_t slot_of(int64_t expert) const { return slot_of_[static_cast<size_t>(expert)]; }
  int64_t expert_in(int64_t slot) const { return slots_[static_cast<size_t>(slot)].expert; }
  /// Slots that the experts of a layer may take.
  int64_t slots_of_layer(int64_t layer) const;
  /// Slots of these that take turns in a sweep: at least two, so that one fills while another
  /// computes, at least a quarter, and as many as set_streaming() asks for.
  int64_t streaming_limit(int64_t layer) const;
  /// Every slot more that takes turns is one more expert to load in each sweep, and lets loading go
  /// on for one expert longer while no slot becomes free, in attention and dense layers.
  void set_streaming(int64_t slots) { streaming_ = slots; }

  /// Experts to begin with: as many of each layer as its share of the slots, or those that the
  /// policy gives up last.
  std::vector<int64_t> first_experts() const;

  void set_regime(SlotRegime regime) { regime_ = regime; }
  SlotRegime regime() const { return regime_; }

  void record_use(int64_t expert) { policy_.record_use(expert); }

  /// An expert that is pinned more often than unpinned keeps its slot.
  void pin(int64_t expert) { ++pins_[static_cast<size_t>(expert)]; }
  void unpin(int64_t expert);
  bool is_pinned(int64_t expert) const { return pins_[static_cast<size_t>(expert)] > 0; }

  /// Whether an expert is expected to be needed in the layer to come.
  void expect(int64_t expert, bool is_expected) {
    expected_[static_cast<size_t>(expert)] = is_expected;
  }
  bool is_expected(int64_t expert) const { return expected_[static_cast<size_t>(expert)]; }

  /// A slot for an expert that has none, whose expert, if any, may go: not pinned, filled, not
  /// expected. kNone if there is no such slot now.
  int64_t find_slot(int64_t expert) const;
  /// As find_slot for an expert without which nothing goes on: takes from the experts that are
  /// expected, then from those that are pinned but not `kept`; kNone if all are being filled.
  int64_t find_slot_by_force(int64_t expert, std::span<const int64_t> kept) const;

  /// Gives the slot to `expert`; returns who had it, or kNone. It is being filled.
  int64_t give(int64_t slot, int64_t expert, SlotPurpose purpose);
  /// The slot's expert has arrived.
  void set_filled(int64_t slot) { slots_[static_cast<size_t>(slot)].is_filled = true; }
  bool is_filled(int64_t slot) const { return slots_[static_cast<size_t>(slot)].is_filled; }
  /// The slot's expert will not arrive.
  void clear(int64_t slot);
  /// The slot's expert was computed with.
  void set_used(int64_t slot);
  /// Whether the expert came ahead and was not needed so far.
  bool is_unused(int64_t slot) const { return slots_[static_cast<size_t>(slot)].is_unused; }
  bool is_streaming(int64_t slot) const { return slots_[static_cast<size_t>(slot)].is_streaming; }

 private:
  struct Slot {
    int64_t group = 0;  // the layer it belongs to; 0 where all share all
    int64_t expert = kNone;
    int64_t used_at = 0;  // of the streaming ones, the one used longest ago goes first
    bool is_filled = false;
    bool is_unused = false;
    bool is_streaming = false;
  };

  void rank_by_earlier_use(std::vector<int64_t>& experts) const;
  int64_t group_of(int64_t expert) const;
  bool may_go(const Slot& slot) const;
  int64_t find_empty(int64_t group) const;
  int64_t find_streaming(int64_t group) const;
  int64_t find_victim(int64_t group) const;
  template <typename MayTake>
  int64_t choose(int64_t group, const MayTake& may_take) const;

  const CacheScope scope_;
  EvictionPolicy policy_;
  SlotRegime regime_ = SlotRegime::kCached;
  std::vector<int64_t> layer_begin_;  // [layers + 1]
  std::vector<int64_t> group_slots_;
  std::vector<Slot> slots_;
  std::vector<int64_t> slot_of_;  // by expert
  std::vector<int> pins_;
  std::vector<bool> expected_;
  int64_t clock_ = 0;
  int64_t streaming_ = 0;
};

/// `total` cut into parts in proportion to `weights`, largest remainders first; parts of positive
/// weights get at least `least` each where the total allows it.
std::vector<int64_t> share_out(int64_t total, std::span<const int64_t> weights, int64_t least);

}  // namespace switchyard
