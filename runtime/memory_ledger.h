// What a job takes of its GPUs beside what it planned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/control_channel.h"
#include "parallel/topology.h"

namespace switchyard {

/// One rank's part, as its device tells it.
struct LedgerEntry {
  std::string device;  // of all ranks the same for one GPU
  int64_t planned = 0;
  int64_t free_before = 0;  // anything was allocated
  int64_t free_now = 0;
};

/// What has to be left when all is allocated: recorded steps, kernels that are loaded when they
/// first run and a library's buffers come on top of the plan. Less is warned of.
inline constexpr int64_t kLeastDeviceBytesLeft = int64_t{256} << 20;

/// "node 0, GPU 0000:01:00.0: 2 ranks planned 60 GiB and took 61 GiB; 5.2 GiB are left" for the GPU
/// that has least left; empty without entries.
std::string ledger_text(const std::vector<LedgerEntry>& entries);
/// What has least left, in bytes.
int64_t least_left(const std::vector<LedgerEntry>& entries);

/// Notes what a GPU has free before a run allocates, and compares afterwards.
class MemoryLedger {
 public:
  /// `planned` bytes of this rank's device will be taken. `backend` must outlive the ledger.
  MemoryLedger(int64_t planned, const Backend& backend);

  /// Everything is allocated and every exchange has run: rank 0 logs ledger_text(), as a warning
  /// where less than kLeastDeviceBytesLeft is left. Nothing on devices without a memory of their
  /// own. Collective.
  void check(const Topology& topology, ControlChannel& control) const;

 private:
  const int64_t planned_;
  const Backend& backend_;
  const std::optional<DeviceMemory> before_;
};

}  // namespace switchyard
