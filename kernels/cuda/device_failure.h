// A failure of work on a device that the device itself does not know of.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

namespace switchyard::cuda {

/// An exchange between GPUs that is given up ends on the device like one that succeeded, with
/// whatever its buffers hold. So who gives it up says so here first: from then on nothing more is
/// issued to any queue of the device, and waiting for one throws. Thread-safe.
class DeviceFailure {
 public:
  /// A failure before stays the one that is told.
  void set(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (error_ == nullptr) error_ = std::move(error);
    is_set_ = true;
  }
  /// Throws what was set, if anything.
  void rethrow() const {
    if (!is_set_) return;
    const std::lock_guard lock(mutex_);
    std::rethrow_exception(error_);
  }

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> is_set_{false};
  std::exception_ptr error_;  // guarded by mutex_
};

}  // namespace switchyard::cuda
