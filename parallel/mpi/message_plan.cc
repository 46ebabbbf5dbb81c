#include "parallel/mpi/message_plan.h"

namespace switchyard {
namespace {

/// Starting from the next rank up, so that not all ranks send to the same one first.
MessagePhase direct_messages(const HostCollective& collective, int rank) {
  const int size = static_cast<int>(collective.send.size());
  MessagePhase phase;
  for (int distance = 1; distance < size; ++distance) {
    const int to = (rank + distance) % size;
    const int from = (rank - distance + size) % size;
    const SendPiece& outgoing = collective.send[static_cast<size_t>(to)];
    const RecvPiece& incoming = collective.recv[static_cast<size_t>(from)];
    if (incoming.bytes > 0) phase.incoming.push_back({from, incoming});
    if (outgoing.bytes > 0) phase.outgoing.push_back({to, outgoing});
  }
  return phase;
}

/// In the binomial tree a position's parent is the position without its lowest set bit; its
/// children add one lower bit each. The root is position 0.
std::vector<MessagePhase> tree_messages(const HostCollective& collective, int rank) {
  const int size = static_cast<int>(collective.send.size());
  const int root = collective.root;
  const int position = (rank - root + size) % size;
  MessagePhase receive;
  MessagePhase send;
  SendPiece piece;
  int reach = 1;  // children stand at position + 1, 2, 4, ... below this distance
  if (position == 0) {
    while (reach < size) reach *= 2;
    if (size > 1) piece = collective.send[static_cast<size_t>((root + 1) % size)];
  } else {
    while (position % (2 * reach) == 0) reach *= 2;
    const RecvPiece& incoming = collective.recv[static_cast<size_t>(root)];
    receive.incoming.push_back({(position - reach + root) % size, incoming});
    piece = {incoming.data, incoming.bytes};
  }
  for (int distance = reach / 2; distance > 0; distance /= 2) {
    if (position + distance < size) {
      send.outgoing.push_back({(position + distance + root) % size, piece});
    }
  }
  return {receive, send};
}

std::vector<MessagePhase> barrier_messages(int size, int rank) {
  std::vector<MessagePhase> phases;
  for (int distance = 1; distance < size; distance *= 2) {
    MessagePhase phase;
    phase.outgoing.push_back({(rank + distance) % size, {}});
    phase.incoming.push_back({(rank - distance + size) % size, {}});
    phases.push_back(phase);
  }
  return phases;
}

}  // namespace

std::vector<MessagePhase> plan_messages(const HostCollective& collective, int rank) {
  switch (collective.kind) {
    case CollectiveKind::kBroadcast:
      return tree_messages(collective, rank);
    case CollectiveKind::kBarrier:
      return barrier_messages(static_cast<int>(collective.send.size()), rank);
    case CollectiveKind::kAllToAll:
    case CollectiveKind::kAllGather:
    case CollectiveKind::kSplit:
      break;
  }
  return {direct_messages(collective, rank)};
}

}  // namespace switchyard
