#include "runtime/reading_turns.h"

namespace switchyard {

ReadingTurns agree_on_turns(int64_t readers_per_node, const Topology& topology,
                            ControlChannel& control) {
  const int64_t readers = readers_per_node == 0 ? topology.local_size : readers_per_node;
  ReadingTurns turns;
  turns.my_turn = topology.local_rank / readers;
  const std::vector<std::string> flags =
      control.all_gather(turns.my_turn == 0 ? "1" : "0", {.phase = "turns of loading"});
  for (int rank = 0; rank < control.size(); ++rank) {
    if (flags[static_cast<size_t>(rank)] == "1") turns.dense_readers.push_back(rank);
  }
  turns.num_turns = 1 + control.all_max(turns.my_turn, {.phase = "turns of loading"});
  return turns;
}

}  // namespace switchyard
