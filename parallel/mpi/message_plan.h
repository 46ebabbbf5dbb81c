// A collective as messages between pairs of ranks.
#pragma once

#include <vector>

#include "parallel/host_collective.h"

namespace switchyard {

struct OutgoingMessage {
  int to = 0;
  SendPiece piece;
};

struct IncomingMessage {
  int from = 0;
  RecvPiece piece;
};

/// Messages that travel together. An empty piece is a message without content.
struct MessagePhase {
  std::vector<OutgoingMessage> outgoing;
  std::vector<IncomingMessage> incoming;
};

/// What `rank` does in the collective, phase after phase; ranks are the group's. An all-to-all or
/// all-gather is one phase of direct messages, empty ones left out; a broadcast walks a binomial
/// tree, a barrier is a dissemination in ceil(log2(size)) phases. The rank's own piece is not part
/// of it.
std::vector<MessagePhase> plan_messages(const HostCollective& collective, int rank);

}  // namespace switchyard
