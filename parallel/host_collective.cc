#include "parallel/host_collective.h"

#include <cstring>

#include "kernels/base/error.h"

namespace switchyard {

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

void check_counts(const std::vector<int64_t>& counts, int size, const CollectiveLabel& label) {
  SWITCHYARD_CHECK(counts.size() == static_cast<size_t>(size), label.text(), ": counts for ",
                   counts.size(), " of ", size, " ranks");
  for (size_t r = 0; r < counts.size(); ++r) {
    SWITCHYARD_CHECK(counts[r] >= 0, label.text(), ": a negative count for rank ", r);
  }
}

void check_all_to_all(const AllToAllArgs& args, int rank, int size, const CollectiveLabel& label) {
  SWITCHYARD_CHECK(args.row_bytes >= 0, label.text(), ": rows of ", args.row_bytes, " bytes");
  check_counts(args.send_rows, size, label);
  check_counts(args.recv_rows, size, label);
  const int64_t sent = args.send_rows[static_cast<size_t>(rank)];
  const int64_t expected = args.recv_rows[static_cast<size_t>(rank)];
  SWITCHYARD_CHECK(sent == expected, label.text(), ": rank ", rank, " keeps ", sent,
                   " rows but expects ", expected);
}

void copy_piece(const Backend& backend, const SendPiece& from, const RecvPiece& to) {
  if (to.bytes == 0 || to.data == from.data) return;
  if (from.place == MemoryPlace::kHost && to.place == MemoryPlace::kHost) {
    std::memcpy(to.data, from.data, static_cast<size_t>(to.bytes));
  } else {
    backend.copy_in_task(to.data, from.data, to.bytes);
  }
}

void copy_own_piece(const Backend& backend, const HostCollective& collective, int rank) {
  copy_piece(backend, collective.send[static_cast<size_t>(rank)],
             collective.recv[static_cast<size_t>(rank)]);
}

}  // namespace switchyard
