// Threads that share the tasks of one call.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace switchyard {

/// A fixed set of threads, the calling one included. Idle threads spin for some microseconds, so
/// that the calls of one layer follow each other quickly, and then sleep.
class ThreadPool {
 public:
  /// Runs one task on one thread: task in [0, num_tasks), thread in [0, num_threads()).
  using Body = std::function<void(int64_t task, int thread)>;

  /// Starts num_threads - 1 threads; num_threads >= 1.
  explicit ThreadPool(int num_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Runs body(task, thread) once for every task and returns when all have ended. Threads take the
  /// tasks in ascending order as they become free. If a task throws, tasks that have not begun are
  /// dropped and the first exception is rethrown. One caller at a time; not from inside a task.
  void parallel_for(int64_t num_tasks, const Body& body);

 private:
  void work(int thread);
  void end_workers();
  /// Waits until call `seen + 1` begins or the pool ends; spins first.
  void wait_for_call(uint64_t seen);
  void run_tasks(int thread);

  std::vector<std::thread> workers_;

  // The current call. Workers read these between joining and leaving it.
  const Body* body_ = nullptr;
  int64_t num_tasks_ = 0;
  std::atomic<int64_t> next_task_{0};
  std::mutex error_mutex_;
  std::exception_ptr error_;

  // Low bits: workers inside the call. kClosed: no call to join.
  static constexpr uint32_t kClosed = 1u << 31;
  std::atomic<uint32_t> gate_{kClosed};

  std::atomic<uint64_t> num_calls_{0};
  std::atomic<bool> ending_{false};
  std::atomic<int> num_sleeping_{0};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
};

}  // namespace switchyard
