// Streams and events of a GPU.
#pragma once

#include <cuda_runtime.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/cuda/cuda_graph.h"
#include "kernels/cuda/device_failure.h"
#include "kernels/cuda/staged_copy.h"
#include "kernels/cuda/upload_ring.h"
#include "kernels/stream.h"

namespace switchyard::cuda {

/// An event of a GPU whose time on the host's steady clock is known.
class ClockPoint {
 public:
  /// Records on the default stream of the current device and waits.
  ClockPoint();
  ~ClockPoint();
  ClockPoint(const ClockPoint&) = delete;
  ClockPoint& operator=(const ClockPoint&) = delete;
  double seconds() const { return seconds_; }
  /// Seconds of the steady clock at which `event` was reached, which was recorded after this one.
  double time_of(cudaEvent_t event) const;

 private:
  cudaEvent_t event_ = nullptr;
  double seconds_ = 0.0;
};

/// Relates a GPU's clock to the host's. CUDA tells the time between events as a float of
/// milliseconds, which after an hour is a multiple of 0.25, and clocks drift: so each event is
/// compared with one that is not much older. Thread-safe.
class ClockOrigin {
 public:
  /// Makes a new point where the last is older than this: a float counts 60,000 ms in steps of 4
  /// us.
  static constexpr double kReachSeconds = 60.0;
  /// The first point is of the current device.
  explicit ClockOrigin(double reach_seconds = kReachSeconds)
      : reach_seconds_(reach_seconds), point_(std::make_shared<const ClockPoint>()) {}
  /// A recent point of the current device, which has to be the first one's.
  std::shared_ptr<const ClockPoint> recent();

 private:
  const double reach_seconds_;
  std::mutex mutex_;
  std::shared_ptr<const ClockPoint> point_;  // guarded by mutex_
};

/// A point of a CudaQueue's order. First the host issues it, then the device reaches it.
class CudaEvent final : public Event::State {
 public:
  CudaEvent(ClockOrigin& origin, const DeviceFailure& failure)
      : origin_(origin), failure_(failure) {}
  ~CudaEvent() override;
  bool is_complete() const override;
  void synchronize() override;
  double completion_time() const override;

  /// Records the point on the stream, or tells that it lies behind `error`. Once only.
  void issue(cudaStream_t stream, std::exception_ptr error);
  bool is_issued() const;
  /// Blocks until the point is issued; rethrows the error before it.
  cudaEvent_t wait_until_issued() const;

 private:
  ClockOrigin& origin_;
  const DeviceFailure& failure_;
  mutable std::mutex mutex_;
  mutable std::condition_variable issued_;
  std::shared_ptr<const ClockPoint> point_;  // set with event_
  cudaEvent_t event_ = nullptr;              // set when issued without an error
  bool is_issued_ = false;
  std::exception_ptr error_;
};

/// Work in order on one CUDA stream. Work is issued at once by the calling thread, unless a host
/// task stands before it: then a thread of the queue's own waits for the device, runs the task and
/// issues what follows, so that no device ever waits for a host (streams that do may share a
/// hardware queue with the stream they wait for). After work or a task throws, later ones are
/// skipped and the events behind carry the error. Driven by one host thread at a time.
class CudaQueue final : public Stream::Queue {
 public:
  /// Issues work to the stream; may use scratch() and upload(). Must not wait.
  using Work = std::function<void(CudaQueue& queue, cudaStream_t stream)>;

  /// `origin` and `failure` are the device's and must outlive the queue.
  CudaQueue(int device, StreamKind kind, ClockOrigin& origin, const DeviceFailure& failure);
  ~CudaQueue() override;

  /// While the queue records, `work` may be nothing but operations.
  void submit(Work work);
  void run_on_host(std::function<void()> task);
  Event record();
  void wait(const Event& event);

  /// See Backend::begin_recording().
  void begin_recording();
  std::unique_ptr<CudaGraph> end_recording();
  bool is_current(const CudaGraph& graph) const { return graph.scratch() == scratch_; }
  /// `graph` must outlive the work.
  void launch(const CudaGraph& graph);

  // For Work: -------------------------------------------------------------------------------------

  /// At least `bytes` of device memory, aligned to 256 bytes, that this work may use: what a work
  /// gets is one block, valid until its last kernel. Grows in the stream's order, so that in steady
  /// state nothing is allocated.
  void* scratch(int64_t bytes);
  /// What scratch(bytes) takes of the device.
  static int64_t grown_scratch(int64_t bytes);
  /// A copy of host data in device memory, made in the stream's order and valid for this work.
  void* upload(const void* host, int64_t bytes);
  template <typename T>
  const T* upload(const std::vector<T>& values) {
    return static_cast<const T*>(
        upload(values.data(), static_cast<int64_t>(values.size() * sizeof(T))));
  }
  /// Enqueues a copy from host memory that stays valid until the stream has passed it.
  void copy_to_device(const void* host, void* device, int64_t bytes);
  /// The stream, for libraries that enqueue on it themselves. Nothing may wait in the queue.
  cudaStream_t stream() const { return stream_; }

 private:
  void require_not_recording() const;
  void issue(const Work& work);
  void push(std::function<void()> item);
  void run();

  const int device_;
  ClockOrigin& origin_;
  const DeviceFailure& failure_;
  cudaStream_t stream_ = nullptr;
  void* scratch_ = nullptr;
  int64_t scratch_bytes_ = 0;
  UploadRing uploads_;
  StagedCopy staged_;
  std::unique_ptr<CudaGraph> recording_;  // null: work runs

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable drained_;
  std::deque<std::function<void()>> items_;  // guarded by mutex_
  int64_t pending_ = 0;                      // items not yet finished; guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::exception_ptr error_;                 // of whoever issues
  std::thread thread_;                       // begins with the first host task
};

}  // namespace switchyard::cuda
