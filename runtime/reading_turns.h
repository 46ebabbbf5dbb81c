// Which ranks read a checkpoint's files at the same time.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/topology.h"

namespace switchyard {

/// The order in which the ranks of a node use its disk.
struct ReadingTurns {
  std::vector<int> dense_readers;  // ranks that read slices of the dense weights
  int64_t num_turns = 1;           // in which experts are read
  int64_t my_turn = 0;
};

/// At most `readers_per_node` ranks of each node read at a time; 0: all. Collective.
ReadingTurns agree_on_turns(int64_t readers_per_node, const Topology& topology,
                            ControlChannel& control);

}  // namespace switchyard
