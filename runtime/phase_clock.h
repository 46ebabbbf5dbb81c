// Where a rank's time goes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "runtime/trace.h"

namespace switchyard {

enum class Phase : uint8_t {
  kAttention,  ///< norms, projections and attention
  kDense,      ///< embedding, dense feed-forward, logits
  kGate,       ///< gate and routing
  kExchange,   ///< the compute stream waits for rows or moves them to and from buffers
  kExperts,    ///< expert feed-forward and combine
  kGraph,      ///< all of these, of decode steps that run as recorded graphs
  kLoading,    ///< waiting for an expert to come into its slot
  kIdle,       ///< waiting for other ranks: step headers and gathered counts
  kCount
};

std::string_view name_of(Phase phase);

/// Adds up the time a compute stream spends in each phase, by events, so that measuring never
/// waits. begin() ends the running phase.
class PhaseClock {
 public:
  /// `trace`, if any, gets every phase as an event, and must outlive the clock.
  PhaseClock(Backend& backend, Stream& compute, Trace* trace = nullptr)
      : backend_(backend), compute_(compute), trace_(trace) {}

  /// The phases that begin from here on belong to this layer of the model; -1: to none.
  void enter_layer(int layer) { layer_ = layer; }
  void begin(Phase phase);
  /// A phase of another layer than that which was entered last.
  void begin(Phase phase, int layer);
  /// Ends the running phase.
  void end();
  /// Phases begin unseen until resume(): their work does not run now.
  void pause() { is_paused_ = true; }
  void resume() { is_paused_ = false; }
  /// Takes the marks so far in; waits for the compute stream to have passed them.
  void collect();

  double seconds(Phase phase) const { return seconds_[static_cast<size_t>(phase)]; }

 private:
  struct Mark {
    Phase phase;  // kCount: nothing runs
    int layer;
    Event event;
  };

  /// Adds the event before to the trace, unless `event` goes on with it.
  void draw(TraceEvent event);

  Backend& backend_;
  Stream& compute_;
  Trace* trace_;
  int layer_ = -1;
  bool is_paused_ = false;
  std::vector<Mark> marks_;
  std::optional<TraceEvent> held_;
  std::array<double, static_cast<size_t>(Phase::kCount)> seconds_{};
};

}  // namespace switchyard
