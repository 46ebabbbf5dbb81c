// Which pages hold the keys and values of which sequence: one rank's, by cache group.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"

namespace switchyard {

/// How sequences take the pages of a rank.
struct KvBlockShape {
  std::vector<int64_t> windows;      ///< by cache group; 0: all positions are seen
  int64_t page_size = kKeysPerPage;  ///< positions of a block, a multiple of kKeysPerPage
  int64_t chunk = 1;                 ///< rows of a sequence in one step at most

  int64_t pages_per_block() const { return page_size / kKeysPerPage; }
  /// Blocks of a group that a sequence of `rows` positions holds at most at a time.
  int64_t blocks_needed(size_t group, int64_t rows) const;
  /// The same in pages.
  int64_t pages_needed(size_t group, int64_t rows) const {
    return blocks_needed(group, rows) * pages_per_block();
  }
};

/// A sequence's pages. Filled by KvBlocks.
struct KvTable {
  struct Group {
    /// The page of each kKeysPerPage positions, -1 where the window has passed them. Reaches to the
    /// end of the last block.
    std::vector<int32_t> pages;
    int64_t reserved = 0;  // blocks that are this sequence's to take
    int64_t held = 0;      // of these, how many it has taken
    int64_t passed = 0;    // blocks at the beginning that were given back
  };
  std::vector<Group> groups;

  /// The pages up to that of the last of `positions` positions, by group, as a step needs them.
  std::vector<std::vector<int32_t>> pages_up_to(int64_t positions) const;
};

/// The free blocks of one rank. A sequence reserves all it will ever need before it begins, so that
/// none has to give way to another; it takes them as its rows come.
class KvBlocks {
 public:
  /// `pages` of each group; what does not fill a block is never used.
  KvBlocks(const KvBlockShape& shape, const std::vector<int64_t>& pages);

  /// Whether there is room for a sequence of `rows` positions; if so it is this table's.
  bool reserve(int64_t rows, KvTable& table);
  /// Gives the table pages for the rows of the next step, at positions [first, end), and takes back
  /// those that no row from `first` on sees. Rows come in order, at most shape.chunk a step.
  void advance(int64_t first, int64_t end, KvTable& table);
  /// Takes the pages back, but not the reservation: rows begin again at position 0.
  void restart(KvTable& table);
  /// Takes everything back.
  void release(KvTable& table);

  /// Blocks of a group that nobody has reserved.
  int64_t num_unreserved(size_t group) const { return groups_[group].unreserved; }

 private:
  struct Group {
    int64_t unreserved = 0;
    std::vector<int32_t> free;  // the last one is taken next
  };

  void free_block(size_t group, int64_t block, KvTable::Group& table);

  KvBlockShape shape_;
  std::vector<Group> groups_;
};

}  // namespace switchyard
