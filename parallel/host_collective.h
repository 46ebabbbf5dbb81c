// One rank's part in a collective, as transports between host threads or processes see it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace switchyard {

enum class CollectiveKind { kAllToAll, kAllGather, kBroadcast, kBarrier, kSplit };

/// "all-to-all", "all-gather", "broadcast", "barrier" or "split".
std::string_view name_of(CollectiveKind kind);

/// Where bytes lie.
enum class MemoryPlace : uint8_t {
  kHost,    ///< at an address of the host
  kDevice,  ///< where only Backend::copy_in_task reaches them
};

/// Bytes for one rank.
struct SendPiece {
  const char* data = nullptr;
  int64_t bytes = 0;
  MemoryPlace place = MemoryPlace::kHost;
};

/// Place for the bytes of one rank.
struct RecvPiece {
  char* data = nullptr;
  int64_t bytes = 0;
  MemoryPlace place = MemoryPlace::kHost;
};

/// One rank's part in a collective, reduced to what goes to and comes from each rank.
struct HostCollective {
  CollectiveKind kind = CollectiveKind::kBarrier;
  int64_t sequence = 0;   // number of the call on its communicator, the same on every rank
  int root = 0;           // of a broadcast
  int64_t row_bytes = 1;  // of an all-to-all
  CollectiveLabel label;
  std::vector<SendPiece> send;  // [size]; that of the rank itself is what it keeps
  std::vector<RecvPiece> recv;  // [size]

  /// "'step 3, layer 1, dispatch' (all-to-all)".
  std::string text() const;
};

/// Throws Error(kInternal) unless there is a count for each of `size` ranks and none is negative.
void check_counts(const std::vector<int64_t>& counts, int size, const CollectiveLabel& label);
/// The same of both sides of an all-to-all, and that `rank` keeps as many rows as it expects.
void check_all_to_all(const AllToAllArgs& args, int rank, int size, const CollectiveLabel& label);

/// Copies to.bytes bytes. `backend` is the receiving rank's; inside a host task.
void copy_piece(const Backend& backend, const SendPiece& from, const RecvPiece& to);

/// Copies what a rank sends to itself. Inside a host task.
void copy_own_piece(const Backend& backend, const HostCollective& collective, int rank);

}  // namespace switchyard
