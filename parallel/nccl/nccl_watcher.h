// Watches the exchanges that are under way on a GPU.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/stream.h"
#include "parallel/host_collective.h"
#include "parallel/nccl/nccl_handle.h"

namespace switchyard {

/// An exchange as it is told when it fails.
struct WatchedWork {
  CollectiveKind kind = CollectiveKind::kBarrier;
  CollectiveLabel label;
  std::vector<int> peers;  // ranks that it waits for; empty: all others
  Event begin;             // when the device comes to it

  /// "'step 3, layer 1, dispatch' (all-to-all over NCCL)".
  std::string text() const;
};

/// A GPU that waits for a peer says nothing. This thread asks, every 20 ms: NCCL for errors, and
/// the events of the work that is under way for its end. What fails, or stays unfinished for longer
/// than the deadline from the moment the device came to it, is told once, by `on_failure` on the
/// watcher's thread, with its label; then NCCL's work is aborted.
class NcclWatcher {
 public:
  using OnFailure = std::function<void(const std::string& why)>;

  /// `deadline_seconds` 0: none. `handle` and `backend` must outlive the watcher.
  NcclWatcher(NcclHandle& handle, const CudaBackend& backend, double deadline_seconds,
              OnFailure on_failure);
  NcclWatcher(const NcclWatcher&) = delete;
  NcclWatcher& operator=(const NcclWatcher&) = delete;
  ~NcclWatcher();

  /// Comes before the work is enqueued, end_with() after it; in the order of the work.
  void begin_with(WatchedWork work);
  void end_with(Event end);

 private:
  struct Entry {
    WatchedWork work;
    Event end;
    bool has_end = false;
    double since = 0.0;  // when the device was first seen at it; 0: not yet
  };

  void run();
  /// Forgets what has ended; what is wrong with the rest, or empty.
  std::string check();
  std::string lateness(Entry& entry) const;
  std::string place_text() const;

  NcclHandle& handle_;
  const CudaBackend& backend_;
  const double deadline_seconds_;
  const OnFailure on_failure_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Entry> entries_;  // guarded by mutex_
  std::string last_done_;      // guarded by mutex_
  int64_t num_done_ = 0;       // guarded by mutex_
  bool must_stop_ = false;     // guarded by mutex_
  std::thread thread_;
};

}  // namespace switchyard
