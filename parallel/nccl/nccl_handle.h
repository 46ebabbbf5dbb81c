// NCCL's communicator of one rank.
#pragma once

#include <nccl.h>

#include <functional>
#include <mutex>
#include <string>

namespace switchyard {

/// How a rank joins a group of ranks.
struct NcclSetup {
  ncclUniqueId id = {};  // the same on all ranks
  int rank = 0;
  int size = 1;
};

/// Owns NCCL's communicator. Nothing here waits for a peer without an end: the communicator is a
/// non-blocking one that is asked again and again, and abort() breaks every wait. Thread-safe.
class NcclHandle {
 public:
  /// Begins to connect to the other ranks, on the current GPU. Throws Error(kPeer) with NCCL's
  /// reason.
  explicit NcclHandle(const NcclSetup& setup);
  NcclHandle(const NcclHandle&) = delete;
  NcclHandle& operator=(const NcclHandle&) = delete;
  /// The work must have ended, or been aborted.
  ~NcclHandle();

  /// Returns when all ranks are connected. Throws Error(kPeer) with NCCL's reason, or after so many
  /// seconds; then the object is good for nothing, but the others learn of it only with its end: so
  /// each rank tells its own reason.
  void wait_until_connected(double deadline_seconds);

  /// Calls of NCCL that start together; the first result that is not success.
  using Calls = std::function<ncclResult_t(ncclComm_t comm)>;

  /// Makes the calls as one group and returns when their work stands in its stream. Throws
  /// Error(kPeer) with NCCL's reason, or after abort().
  void start(const Calls& calls);

  /// What NCCL found wrong since; empty: nothing.
  std::string failure();

  /// Ends the work that is under way, on this rank; the others notice. Safe beside start().
  void abort();

 private:
  ncclResult_t state_locked();
  std::string reason_locked(ncclResult_t result) const;
  /// Waits until NCCL is through with what it was asked; true if that ended well.
  ncclResult_t wait_until_done(ncclResult_t result, double deadline_seconds);

  const int rank_;
  const int size_;
  bool is_connected_ = false;
  mutable std::mutex mutex_;
  ncclComm_t comm_ = nullptr;  // null after abort(); guarded by mutex_
};

}  // namespace switchyard
