// Steps that are recorded once and launched again: decoding enqueues the same work for every token.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <vector>

#include "kernels/graph_recorder.h"
#include "runtime/phase_clock.h"

namespace switchyard {

/// All that decides which work a decode step of a rank enqueues.
struct DecodeShape {
  int64_t num_rows = 0;
  int64_t most_rows = 0;  // of the rank that has most
  int64_t num_pages = 0;  // of a row's page table

  friend bool operator==(const DecodeShape&, const DecodeShape&) = default;
};

/// The recorded steps of one rank. A step of a shape that is new is enqueued as it is, so that
/// working memory has grown when one is recorded; the next of that shape is recorded, and from then
/// on launched. Not more than kMostShapes are kept at a time, and kMostSeen that were seen once;
/// those that were not seen for longest go.
class StepGraphs {
 public:
  /// Batches shrink one by one as their sequences end. Arguments take a graph's memory: 200 bytes
  /// for each expert of this rank in each layer and matrix.
  static constexpr size_t kMostShapes = 16;
  static constexpr size_t kMostSeen = 64;
  /// A step is enqueued where the device has less left: graphs are in no plan of memory.
  static constexpr int64_t kLeastFreeBytes = int64_t{128} << 20;

  /// What became of a step's work.
  enum class Done : uint8_t { kEnqueued, kRecorded, kLaunched };

  /// All references must outlive the object.
  StepGraphs(GraphRecorder& recorder, Backend& backend, Stream& compute, PhaseClock& clock)
      : recorder_(recorder), backend_(backend), compute_(compute), clock_(clock) {}

  /// Runs the work of a step: what `enqueue` enqueues on the compute stream, and the actions that
  /// it interrupts the recorder with. `enqueue` is not called where the work is launched.
  Done run(const DecodeShape& shape, int64_t step, const std::function<void()>& enqueue);

  /// Steps that were launched, also those recorded for it.
  int64_t num_launched() const { return num_launched_; }

 private:
  struct Entry {
    DecodeShape shape;
    std::vector<RecordedPart> parts;
  };

  /// The recorded step of a shape, now the one seen last; null: there is none that may be launched.
  const Entry* find(const DecodeShape& shape);
  /// Whether the shape was seen before; now it was.
  bool was_seen(const DecodeShape& shape);
  bool has_memory() const;
  std::vector<RecordedPart> record(const std::function<void()>& enqueue);
  void launch(const Entry& entry, int64_t step);

  GraphRecorder& recorder_;
  Backend& backend_;
  Stream& compute_;
  PhaseClock& clock_;
  std::list<Entry> entries_;     // the one seen last first
  std::list<DecodeShape> seen_;  // but not recorded; the last first
  int64_t num_launched_ = 0;
};

}  // namespace switchyard
