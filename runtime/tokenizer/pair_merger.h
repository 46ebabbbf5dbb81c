// Byte-pair encoding's merges.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

namespace switchyard {

/// Joins neighbours of a sequence of symbols, always the pair of the lowest rank and of equal ones
/// the leftmost, until no pair has a rank. n symbols take O(n log n). Holds buffers from one
/// sequence to the next; not for two threads at once.
class PairMerger {
 public:
  /// Two neighbours and which of the symbols that were given they stand for: begin to end.
  struct Pair {
    int32_t left = 0;
    int32_t right = 0;
    int32_t begin = 0;
    int32_t end = 0;
  };
  /// What becomes of a pair; the lowest rank goes first.
  struct Merge {
    int32_t rank = 0;
    int32_t symbol = 0;
  };

  /// Replaces the symbols by what is left of them. `find_merge(pair)` gives an optional Merge, the
  /// same whenever it is asked for the same two symbols.
  template <typename FindMerge>
  void merge(std::vector<int32_t>& symbols, const FindMerge& find_merge) {
    start(symbols);
    for (int32_t i = 0; i < static_cast<int32_t>(nodes_.size()); ++i) push(i, find_merge);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Candidate candidate = heap_.back();
      heap_.pop_back();
      if (!is_current(candidate)) continue;
      join(candidate);
      if (nodes_[candidate.node].previous != kNone) {
        push(nodes_[candidate.node].previous, find_merge);
      }
      push(candidate.node, find_merge);
    }
    symbols.clear();
    for (int32_t i = nodes_.empty() ? kNone : 0; i != kNone; i = nodes_[i].next) {
      symbols.push_back(nodes_[i].symbol);
    }
  }

 private:
  static constexpr int32_t kNone = -1;

  struct Node {
    int32_t symbol;  // kNone: joined into a node before it
    int32_t previous;
    int32_t next;
  };
  // A node and the one after it; stale when their symbols are no longer these.
  struct Candidate {
    Merge merge;
    int32_t node;
    int32_t left;
    int32_t right;
    // For a heap whose front is the leftmost of the lowest rank.
    bool operator<(const Candidate& other) const {
      return std::tie(merge.rank, node) > std::tie(other.merge.rank, other.node);
    }
  };

  void start(const std::vector<int32_t>& symbols) {
    const int32_t size = static_cast<int32_t>(symbols.size());
    nodes_.clear();
    heap_.clear();
    for (int32_t i = 0; i < size; ++i) {
      nodes_.push_back({symbols[i], i - 1, i + 1 < size ? i + 1 : kNone});
    }
  }

  template <typename FindMerge>
  void push(int32_t at, const FindMerge& find_merge) {
    const int32_t next = nodes_[at].next;
    if (next == kNone) return;
    const int32_t after = nodes_[next].next;
    const int32_t end = after == kNone ? static_cast<int32_t>(nodes_.size()) : after;
    const Pair pair{nodes_[at].symbol, nodes_[next].symbol, at, end};
    const std::optional<Merge> merge = find_merge(pair);
    if (!merge) return;
    heap_.push_back({*merge, at, pair.left, pair.right});
    std::push_heap(heap_.begin(), heap_.end());
  }

  bool is_current(const Candidate& candidate) const {
    const Node& node = nodes_[candidate.node];
    return node.symbol == candidate.left && node.next != kNone &&
           nodes_[node.next].symbol == candidate.right;
  }

  void join(const Candidate& candidate) {
    Node& node = nodes_[candidate.node];
    Node& joined = nodes_[node.next];
    node.symbol = candidate.merge.symbol;
    node.next = joined.next;
    joined.symbol = kNone;
    if (node.next != kNone) nodes_[node.next].previous = candidate.node;
  }

  std::vector<Node> nodes_;  // one for each symbol that was given
  std::vector<Candidate> heap_;
};

}  // namespace switchyard
