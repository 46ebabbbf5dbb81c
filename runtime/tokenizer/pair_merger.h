// Byte-pair encoding's merging of neighbours.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace switchyard {

/// What two neighbours become. Lower ranks go first.
struct PairMerge {
  int32_t rank;
  int32_t symbol;
};

/// Joins neighbours of a word until none can be joined: always those of the lowest rank, of these
/// the leftmost. Takes O(n log n) for n symbols and 28 bytes or so for each.
class PairMerger {
 public:
  /// `find(left symbol, right symbol)` gives a std::optional<PairMerge>. Symbols are not negative.
  template <typename Find>
  void merge(std::vector<int32_t>& symbols, const Find& find);

 private:
  static constexpr int32_t kNone = -1;

  struct Node {
    int32_t symbol;  // kNone: joined into the node before it
    int32_t previous;
    int32_t next;
  };
  // Neighbours that could be joined when this was written down.
  struct Candidate {
    int32_t rank;
    int32_t left;    // node
    int32_t symbol;  // what they become
    // For a heap whose front is the first one of the lowest rank.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };

  template <typename Find>
  void add(int32_t left, const Find& find) {
    if (left == kNone || nodes_[left].next == kNone) return;
    const auto merge = find(nodes_[left].symbol, nodes_[nodes_[left].next].symbol);
    if (merge) heap_.push_back({merge->rank, left, merge->symbol});
  }

  std::vector<Node> nodes_;
  std::vector<Candidate> heap_;
};

template <typename Find>
void PairMerger::merge(std::vector<int32_t>& symbols, const Find& find) {
  const int32_t size = static_cast<int32_t>(symbols.size());
  nodes_.clear();
  heap_.clear();
  for (int32_t i = 0; i < size; ++i) {
    nodes_.push_back({symbols[i], i - 1, i + 1 < size ? i + 1 : kNone});
  }
  for (int32_t i = 0; i < size; ++i) add(i, find);
  std::make_heap(heap_.begin(), heap_.end());
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Candidate top = heap_.back();
    heap_.pop_back();
    Node& left = nodes_[top.left];
    if (left.symbol == kNone || left.next == kNone) continue;
    Node& right = nodes_[left.next];
    // The neighbours may be others by now; they count if they become the same.
    const auto current = find(left.symbol, right.symbol);
    if (!current || current->symbol != top.symbol) continue;
    left.symbol = top.symbol;
    left.next = right.next;
    right.symbol = kNone;
    if (left.next != kNone) nodes_[left.next].previous = top.left;
    for (const int32_t node : {left.previous, top.left}) {
      const size_t size_before = heap_.size();
      add(node, find);
      if (heap_.size() > size_before) std::push_heap(heap_.begin(), heap_.end());
    }
  }
  symbols.clear();
  for (const Node& node : nodes_) {
    if (node.symbol != kNone) symbols.push_back(node.symbol);
  }
}

}  // namespace switchyard
