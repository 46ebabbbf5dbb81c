#include "parallel/communicator_host.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

const char* bytes_of(const void* data) { return static_cast<const char*>(data); }
char* bytes_of(void* data) { return static_cast<char*>(data); }

template <typename Piece>
void translate(const Backend& backend, std::vector<Piece>& pieces) {
  for (Piece& piece : pieces) {
    if (piece.bytes == 0) continue;
    piece.data = bytes_of(backend.host_address(piece.data));
    SWITCHYARD_CHECK(piece.data != nullptr, "the host cannot address the device's memory");
  }
}

}  // namespace

std::string_view name_of(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kAllToAll:
      return "all-to-all";
    case CollectiveKind::kAllGather:
      return "all-gather";
    case CollectiveKind::kBroadcast:
      return "broadcast";
    case CollectiveKind::kBarrier:
      return "barrier";
    case CollectiveKind::kSplit:
      return "split";
  }
  return "";
}

std::string HostCollective::text() const {
  return concat("'", label.text(), "' (", name_of(kind), ")");
}

void copy_own_piece(const HostCollective& collective, int rank) {
  const SendPiece& from = collective.send[static_cast<size_t>(rank)];
  const RecvPiece& to = collective.recv[static_cast<size_t>(rank)];
  if (to.bytes > 0 && to.data != from.data) {
    std::memcpy(to.data, from.data, static_cast<size_t>(to.bytes));
  }
}

/// A collective on its way through a stream. A stream that has failed drops its tasks: then the
/// destructor tells the transport, so that the other ranks do not wait for this one.
class HostCommunicator::Pending {
 public:
  Pending(HostCommunicator& communicator, HostCollective collective)
      : communicator_(communicator), collective_(std::move(collective)) {}
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() {
    if (!started_) communicator_.skip(collective_);
  }

  void run() {
    started_ = true;
    translate(communicator_.backend_, collective_.send);
    translate(communicator_.backend_, collective_.recv);
    communicator_.run(collective_);
  }

 private:
  HostCommunicator& communicator_;
  HostCollective collective_;
  bool started_ = false;
};

HostCommunicator::HostCommunicator(Backend& backend, int rank, int size)
    : backend_(backend), rank_(rank), size_(size) {
  SWITCHYARD_CHECK(rank >= 0 && rank < size, "rank ", rank, " of ", size);
}

HostCollective HostCommunicator::make_collective(CollectiveKind kind,
                                                 const CollectiveLabel& label) {
  HostCollective collective;
  collective.kind = kind;
  collective.sequence = take_sequence();
  collective.label = label;
  collective.send.resize(static_cast<size_t>(size_));
  collective.recv.resize(static_cast<size_t>(size_));
  return collective;
}

void HostCommunicator::enqueue(Stream& stream, HostCollective collective) {
  auto pending = std::make_shared<Pending>(*this, std::move(collective));
  backend_.run_on_host(stream, [pending = std::move(pending)] { pending->run(); });
}

void HostCommunicator::all_to_all_v(Stream& stream, const AllToAllArgs& args,
                                    const CollectiveLabel& label) {
  const size_t ranks = static_cast<size_t>(size_);
  const size_t self = static_cast<size_t>(rank_);
  SWITCHYARD_CHECK(args.send_rows.size() == ranks && args.recv_rows.size() == ranks, label.text(),
                   ": counts for ", args.send_rows.size(), " and ", args.recv_rows.size(), " of ",
                   ranks, " ranks");
  SWITCHYARD_CHECK(args.send_rows[self] == args.recv_rows[self], label.text(), ": rank ", rank_,
                   " keeps ", args.send_rows[self], " rows but expects ", args.recv_rows[self]);
  HostCollective collective = make_collective(CollectiveKind::kAllToAll, label);
  collective.row_bytes = args.row_bytes;
  const char* from = bytes_of(args.send);
  char* to = bytes_of(args.recv);
  for (size_t r = 0; r < ranks; ++r) {
    SWITCHYARD_CHECK(args.row_bytes >= 0 && args.send_rows[r] >= 0 && args.recv_rows[r] >= 0,
                     label.text(), ": a negative count for rank ", r);
    collective.send[r] = {from, args.send_rows[r] * args.row_bytes};
    collective.recv[r] = {to, args.recv_rows[r] * args.row_bytes};
    if (from != nullptr) from += collective.send[r].bytes;
    if (to != nullptr) to += collective.recv[r].bytes;
  }
  enqueue(stream, std::move(collective));
}

void HostCommunicator::all_gather(Stream& stream, const void* send, void* recv, int64_t bytes,
                                  const CollectiveLabel& label) {
  all_gather_v(stream, send, recv, std::vector<int64_t>(static_cast<size_t>(size_), bytes), label);
}

void HostCommunicator::all_gather_v(Stream& stream, const void* send, void* recv,
                                    const std::vector<int64_t>& bytes_of_rank,
                                    const CollectiveLabel& label) {
  SWITCHYARD_CHECK(bytes_of_rank.size() == static_cast<size_t>(size_), label.text(),
                   ": counts for ", bytes_of_rank.size(), " of ", size_, " ranks");
  HostCollective collective = make_collective(CollectiveKind::kAllGather, label);
  char* to = bytes_of(recv);
  for (size_t r = 0; r < bytes_of_rank.size(); ++r) {
    SWITCHYARD_CHECK(bytes_of_rank[r] >= 0, label.text(), ": a negative count for rank ", r);
    collective.send[r] = {bytes_of(send), bytes_of_rank[static_cast<size_t>(rank_)]};
    collective.recv[r] = {to, bytes_of_rank[r]};
    if (to != nullptr) to += bytes_of_rank[r];
  }
  enqueue(stream, std::move(collective));
}

void HostCommunicator::broadcast(Stream& stream, void* data, int64_t bytes, int root,
                                 const CollectiveLabel& label) {
  SWITCHYARD_CHECK(root >= 0 && root < size_ && bytes >= 0, label.text(), ": ", bytes,
                   " bytes from rank ", root, " of ", size_);
  HostCollective collective = make_collective(CollectiveKind::kBroadcast, label);
  collective.root = root;
  if (rank_ == root) {
    for (int r = 0; r < size_; ++r) {
      if (r != root) collective.send[static_cast<size_t>(r)] = {bytes_of(data), bytes};
    }
  } else {
    collective.recv[static_cast<size_t>(root)] = {bytes_of(data), bytes};
  }
  enqueue(stream, std::move(collective));
}

void HostCommunicator::barrier(Stream& stream, const CollectiveLabel& label) {
  enqueue(stream, make_collective(CollectiveKind::kBarrier, label));
}

std::vector<HostCommunicator::SplitEntry> HostCommunicator::exchange_split(int64_t sequence,
                                                                           const SplitEntry& mine) {
  std::vector<SplitEntry> entries(static_cast<size_t>(size_));
  HostCollective collective;
  collective.kind = CollectiveKind::kSplit;
  collective.sequence = sequence;
  collective.label.phase = "split";
  const int64_t bytes = int64_t{sizeof(SplitEntry)};
  for (SplitEntry& entry : entries) {
    collective.send.push_back({reinterpret_cast<const char*>(&mine), bytes});
    collective.recv.push_back({reinterpret_cast<char*>(&entry), bytes});
  }
  run(collective);
  return entries;
}

std::vector<int> HostCommunicator::members_of(const std::vector<SplitEntry>& entries, int color) {
  std::vector<int> members;
  for (size_t r = 0; r < entries.size(); ++r) {
    if (entries[r].color == color) members.push_back(static_cast<int>(r));
  }
  std::stable_sort(members.begin(), members.end(), [&](int a, int b) {
    return entries[static_cast<size_t>(a)].key < entries[static_cast<size_t>(b)].key;
  });
  return members;
}

}  // namespace switchyard
