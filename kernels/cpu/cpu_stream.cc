#include "kernels/cpu/cpu_stream.h"

#include <chrono>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {

bool HostEvent::is_complete() const {
  const std::lock_guard lock(mutex_);
  return complete_;
}

void HostEvent::synchronize() {
  std::unique_lock lock(mutex_);
  reached_.wait(lock, [this] { return complete_; });
  if (error_ != nullptr) std::rethrow_exception(error_);
}

double HostEvent::completion_time() const {
  const std::lock_guard lock(mutex_);
  SWITCHYARD_CHECK(complete_, "completion_time() of an event that is not complete");
  return time_;
}

void HostEvent::complete(std::exception_ptr error) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const std::lock_guard lock(mutex_);
  time_ = std::chrono::duration<double>(now).count();
  error_ = std::move(error);
  complete_ = true;
  reached_.notify_all();
}

void HostQueue::enqueue(Task task) {
  SWITCHYARD_CHECK(recording_ == nullptr, "work of the host on a stream that records");
  run(std::move(task));
}

Event HostQueue::record() {
  SWITCHYARD_CHECK(recording_ == nullptr, "an event on a stream that records");
  return mark();
}

void HostQueue::wait(const Event& event) {
  if (event.state() == nullptr) return;
  enqueue([event] { event.synchronize(); });
}

void HostQueue::operate(Task task) {
  if (recording_ != nullptr) return recording_->add(std::move(task));
  run(std::move(task));
}

void HostQueue::begin_recording() {
  record().synchronize();
  recording_ = std::make_unique<HostGraph>();
}

void HostQueue::launch(const HostGraph& graph) {
  for (size_t i = 0; i < graph.tasks()->size(); ++i) {
    enqueue([tasks = graph.tasks(), i] { (*tasks)[i](); });
  }
}

void InlineQueue::run(Task task) {
  if (error_ != nullptr) return;
  try {
    task();
  } catch (...) {
    error_ = std::current_exception();
    throw;
  }
}

Event InlineQueue::mark() {
  auto event = std::make_shared<HostEvent>();
  event->complete(error_);
  return Event(std::move(event));
}

ThreadQueue::ThreadQueue(std::unique_ptr<OpContext> context, BeforeTask before_task)
    : HostQueue(std::move(context)),
      before_task_(std::move(before_task)),
      thread_([this] { run_items(); }) {}

ThreadQueue::~ThreadQueue() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ThreadQueue::run(Task task) { push({std::move(task), nullptr}); }

Event ThreadQueue::mark() {
  auto event = std::make_shared<HostEvent>();
  push({nullptr, event});
  return Event(std::move(event));
}

void ThreadQueue::push(Item item) {
  {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
  }
  changed_.notify_one();
}

void ThreadQueue::run_items() {
  while (true) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !items_.empty(); });
      if (items_.empty()) return;
      item = std::move(items_.front());
      items_.pop_front();
    }
    if (item.event != nullptr) {
      item.event->complete(error_);
    } else {
      run_task(item.task);
    }
  }
}

void ThreadQueue::run_task(const Task& task) {
  if (before_task_) before_task_(tasks_run_);
  ++tasks_run_;
  if (error_ != nullptr) return;
  try {
    task();
  } catch (...) {
    error_ = std::current_exception();
  }
}

}  // namespace switchyard
