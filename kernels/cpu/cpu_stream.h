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
#include <utility>
#include <vector>

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

/// Operations that a HostQueue has recorded.
class HostGraph final : public Graph::State {
 public:
  using Task = std::function<void()>;

  void add(Task task) { tasks_->push_back(std::move(task)); }
  const std::shared_ptr<std::vector<Task>>& tasks() const { return tasks_; }

 private:
  std::shared_ptr<std::vector<Task>> tasks_ = std::make_shared<std::vector<Task>>();
};

/// Work in order on the host. After a task throws, later tasks are skipped and the events behind
/// it carry its error. Driven by one host thread at a time.
class HostQueue : public Stream::Queue {
 public:
  using Task = std::function<void()>;

  explicit HostQueue(std::unique_ptr<OpContext> context) : context_(std::move(context)) {}

  /// Not while the queue records.
  void enqueue(Task task);
  Event record();
  /// Later tasks start after `event`; its error, if any, becomes this queue's.
  void wait(const Event& event);
  /// Enqueues a task that may run any number of times, or records it.
  void operate(Task task);

  /// See Backend::begin_recording().
  void begin_recording();
  std::unique_ptr<HostGraph> end_recording() { return std::move(recording_); }
  void launch(const HostGraph& graph);

  /// What operations of this queue compute with. Used by its tasks only.
  OpContext& context() { return *context_; }

 private:
  virtual void run(Task task) = 0;
  virtual Event mark() = 0;

  std::unique_ptr<OpContext> context_;
  std::unique_ptr<HostGraph> recording_;  // null: tasks run
};

/// Runs each task at once on the calling thread, which also gets the task's exception.
class InlineQueue final : public HostQueue {
 public:
  using HostQueue::HostQueue;

 private:
  void run(Task task) override;
  Event mark() override;

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

 private:
  /// A task, or a point to mark as reached.
  struct Item {
    Task task;
    std::shared_ptr<HostEvent> event;
  };

  void run(Task task) override;
  Event mark() override;
  void push(Item item);
  void run_items();
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
