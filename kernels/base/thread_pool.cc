#include "kernels/base/thread_pool.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

// A layer calls the pool every 50 us to 1 ms; a futex wake-up costs about 50 us on a virtual
// machine. Longer spinning takes the core from other ranks of an oversubscribed machine.
constexpr std::chrono::microseconds kSpinTime{30};

void pause_core() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// Spins until condition() holds or kSpinTime has passed; returns the last value of condition().
template <typename Condition>
bool spin_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (condition()) return true;
      pause_core();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return condition();
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  SWITCHYARD_CHECK(num_threads >= 1, "a thread pool of ", num_threads, " threads");
  workers_.reserve(static_cast<size_t>(num_threads - 1));
  for (int thread = 1; thread < num_threads; ++thread) {
    try {
      workers_.emplace_back([this, thread] { work(thread); });
    } catch (const std::system_error& error) {
      end_workers();
      fail_resource("thread ", thread, " of ", num_threads, " cannot be started (", error.what(),
                    "); use fewer with --threads, or raise the limit of processes or of memory");
    }
  }
}

ThreadPool::~ThreadPool() { end_workers(); }

void ThreadPool::end_workers() {
  {
    const std::lock_guard lock(sleep_mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(int64_t num_tasks, const Body& body) {
  if (workers_.empty() || num_tasks <= 1) {
    for (int64_t task = 0; task < num_tasks; ++task) body(task, 0);
    return;
  }
  body_ = &body;
  num_tasks_ = num_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  // Not a store: a worker that came late to the last call may still count itself in and out.
  gate_.fetch_and(~kClosed);
  ++num_calls_;
  if (num_sleeping_ > 0) {
    // The lock orders this notification after the check of a worker that is about to sleep.
    { const std::lock_guard lock(sleep_mutex_); }
    wake_.notify_all();
  }
  run_tasks(0);
  gate_.fetch_or(kClosed);
  const auto all_left = [this] { return gate_.load() == kClosed; };
  while (!spin_until(all_left)) std::this_thread::yield();
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::run_tasks(int thread) {
  try {
    for (;;) {
      const int64_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
      if (task >= num_tasks_) return;
      (*body_)(task, thread);
    }
  } catch (...) {
    next_task_.store(num_tasks_, std::memory_order_relaxed);
    const std::lock_guard lock(error_mutex_);
    if (error_ == nullptr) error_ = std::current_exception();
  }
}

void ThreadPool::wait_for_call(uint64_t seen) {
  const auto has_begun = [&] { return num_calls_.load() != seen || ending_.load(); };
  if (spin_until(has_begun)) return;
  std::unique_lock lock(sleep_mutex_);
  ++num_sleeping_;
  wake_.wait(lock, has_begun);
  --num_sleeping_;
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;
  for (;;) {
    wait_for_call(seen);
    if (ending_) return;
    seen = num_calls_;
    // Late for a call that is over: count out again and wait for the next.
    if ((gate_.fetch_add(1) & kClosed) == 0) run_tasks(thread);
    gate_.fetch_sub(1);
  }
}

}  // namespace switchyard
