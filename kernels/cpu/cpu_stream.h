// Streams and events of backends whose device is the host.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "kernels/cpu/op_context.h"
#include "kernels/stream.h"

namespace switchyard {

/// A point of a HostQueue's order. Thread-safe.
class HostEvent final : public Event::State {
 public:
  bool is_complete() const override;
  void synchronize() override;
  double completion_time() const override;

  /// Marks the point as reached now; `error` is that of the work before it, or null. Once only.
  void complete(std::exception_ptr error);

 private:
  mutable std::mutex mutex_;
  std::condition_variable reached_;
  bool complete_ = false;
  double time_ = 0.0;  // seconds of the steady clock
  std::exception_ptr error_;
};

/// Work in order on the host. After a task throws, later tasks are skipped and the events behind
/// it carry its error. Driven by one host thread at a time.
class HostQueue : public Stream::Queue {
 public:
  using Task = std::function<void()>;

  explicit HostQueue(std::unique_ptr<OpContext> context) : context_(std::move(context)) {}

  virtual void enqueue(Task task) = 0;
  virtual Event record() = 0;
  /// Later tasks start after `event`; its error, if any, becomes this queue's.
  void wait(const Event& event);
  /// What operations of this queue compute with. Used by its tasks only.
  OpContext& context() { return *context_; }

 private:
  std::unique_ptr<OpContext> context_;
};

/// Runs each task at once on the calling thread, which also gets the task's exception.
class InlineQueue final : public HostQueue {
 public:
  using HostQueue::HostQueue;
  void enqueue(Task task) override;
  Event record() override;

 private:
  std::exception_ptr error_;
};

/// Runs tasks first in, first out on a thread of its own. The destructor waits for all of them.
class ThreadQueue final : public HostQueue {
 public:
  /// Called on the queue's thread before each task with the task's number, counted from 0.
  using BeforeTask = std::function<void(uint64_t task)>;

  /// `before_task` may be empty.
  ThreadQueue(std::unique_ptr<OpContext> context, BeforeTask before_task);
  ~ThreadQueue() override;
  void enqueue(Task task) override;
  Event record() override;

 private:
  /// A task, or a point to mark as reached.
  struct Item {
    Task task;
    std::shared_ptr<HostEvent> event;
  };

  void push(Item item);
  void run();
  void run_task(const Task& task);

  const BeforeTask before_task_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;    // guarded by mutex_
  bool stopping_ = false;     // guarded by mutex_
  uint64_t tasks_run_ = 0;    // the thread's own
  std::exception_ptr error_;  // the thread's own
  std::thread thread_;        // last: starts when all else is there
};

}  // namespace switchyard
