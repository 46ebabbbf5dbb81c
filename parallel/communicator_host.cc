#include "parallel/communicator_host.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

const char* bytes_of(const void* data) { return static_cast<const char*>(data); }
char* bytes_of(void* data) { return static_cast<char*>(data); }

/// Tells the pieces that the host cannot address, and lets the others have the host's addresses.
template <typename Piece>
void locate(const Backend& backend, std::vector<Piece>& pieces) {
  for (Piece& piece : pieces) {
    if (piece.bytes == 0) continue;
    SWITCHYARD_CHECK(piece.data != nullptr, "a collective's buffer is missing");
    char* const address = bytes_of(backend.host_address(piece.data));
    piece.place = address == nullptr ? MemoryPlace::kDevice : MemoryPlace::kHost;
    if (address != nullptr) piece.data = address;
  }
}

}  // namespace

/// A collective on its way through a stream. A stream that has failed drops its tasks: then the
/// destructor tells the transport, so that the other ranks do not wait for this one.
class HostCommunicator::Pending {
 public:
  Pending(HostCommunicator& communicator, HostCollective collective)
      : communicator_(communicator), collective_(std::move(collective)) {
    locate(communicator_.backend_, collective_.send);
    locate(communicator_.backend_, collective_.recv);
    if (communicator_.reach_ == TransportReach::kAnyMemory) return;
    plan_.emplace(collective_, communicator_.rank_);
    // Here and not in the task: devices do not like allocations beside their work.
    if (plan_->bytes() > 0) stage_ = communicator_.staging_.take(plan_->bytes());
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() {
    if (!started_) communicator_.skip(collective_);
  }

  void run() {
    started_ = true;
    const bool is_staged = stage_.data() != nullptr;
    if (is_staged) plan_->fill(communicator_.backend_, stage_.data(), collective_);
    communicator_.run(collective_);
    if (is_staged) plan_->drain(communicator_.backend_, stage_.data());
    stage_.give_back();
  }

 private:
  HostCommunicator& communicator_;
  HostCollective collective_;
  std::optional<StagingPlan> plan_;
  StagingPool::Lease stage_;
  bool started_ = false;
};

HostCommunicator::HostCommunicator(Backend& backend, int rank, int size, TransportReach reach)
    : backend_(backend), rank_(rank), size_(size), reach_(reach), staging_(backend) {
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
  check_all_to_all(args, rank_, size_, label);
  HostCollective collective = make_collective(CollectiveKind::kAllToAll, label);
  collective.row_bytes = args.row_bytes;
  const char* from = bytes_of(args.send);
  char* to = bytes_of(args.recv);
  for (size_t r = 0; r < ranks; ++r) {
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
  check_counts(bytes_of_rank, size_, label);
  HostCollective collective = make_collective(CollectiveKind::kAllGather, label);
  char* to = bytes_of(recv);
  for (size_t r = 0; r < bytes_of_rank.size(); ++r) {
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
