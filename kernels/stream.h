// Order of execution on a device.
#pragma once

#include <functional>
#include <memory>

namespace switchyard {

/// What a stream is for; lets a backend place it.
enum class StreamKind {
  kCompute,   ///< operations; one a rank
  kExchange,  ///< transfers between ranks; runs beside the compute stream
  kCopy,      ///< transfers between memory tiers; runs beside the compute stream
};

/// A point in a stream's order, one-shot. Copies share the point. A default Event is complete.
class Event {
 public:
  /// What a backend implements behind an Event.
  class State {
   public:
    virtual ~State() = default;
    virtual bool is_complete() const = 0;
    /// Blocks the calling host thread; rethrows the error of the work before the point, if any.
    virtual void synchronize() = 0;
    /// Seconds on a monotonic clock at which the point was reached. Complete events only.
    virtual double completion_time() const = 0;
  };

  Event() = default;
  explicit Event(std::shared_ptr<State> state) : state_(std::move(state)) {}

  bool is_complete() const { return state_ == nullptr || state_->is_complete(); }
  void synchronize() const {
    if (state_ != nullptr) state_->synchronize();
  }
  double completion_time() const { return state_ == nullptr ? 0.0 : state_->completion_time(); }
  const std::shared_ptr<State>& state() const { return state_; }

 private:
  std::shared_ptr<State> state_;
};

/// Work in order. Move-only, made by Backend::make_stream, must not outlive its Backend. The
/// destructor waits for what was enqueued.
class Stream {
 public:
  /// What a backend implements behind a Stream.
  class Queue {
   public:
    virtual ~Queue() = default;
  };

  Stream() = default;
  explicit Stream(std::unique_ptr<Queue> queue) : queue_(std::move(queue)) {}
  Queue& queue() const { return *queue_; }

 private:
  std::unique_ptr<Queue> queue_;
};

/// Operations that were recorded, to be enqueued together as often as wanted. Move-only, made by
/// Backend::end_recording, must not outlive its Backend, and ends after the work that runs it.
class Graph {
 public:
  /// What a backend implements behind a Graph.
  class State {
   public:
    virtual ~State() = default;
  };

  Graph() = default;
  explicit Graph(std::unique_ptr<State> state) : state_(std::move(state)) {}
  State* state() const { return state_.get(); }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace switchyard
