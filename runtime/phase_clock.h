// Where a rank's time goes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace switchyard {

enum class Phase : uint8_t {
  kAttention,  ///< norms, projections and attention
  kDense,      ///< embedding, dense feed-forward, logits
  kGate,       ///< gate and routing
  kExchange,   ///< the compute stream waits for rows or moves them to and from buffers
  kExperts,    ///< expert feed-forward and combine
  kLoading,    ///< waiting for an expert to come into its slot
  kIdle,       ///< waiting for other ranks: step headers and gathered counts
  kCount
};

std::string_view name_of(Phase phase);

/// Adds up the time a compute stream spends in each phase, by events, so that measuring never
/// waits. begin() ends the running phase.
class PhaseClock {
 public:
  PhaseClock(Backend& backend, Stream& compute) : backend_(backend), compute_(compute) {}

  void begin(Phase phase);
  /// Ends the running phase.
  void end();
  /// Takes the marks so far in; waits for the compute stream to have passed them.
  void collect();

  double seconds(Phase phase) const { return seconds_[static_cast<size_t>(phase)]; }

 private:
  struct Mark {
    Phase phase;  // kCount: nothing runs
    Event event;
  };

  Backend& backend_;
  Stream& compute_;
  std::vector<Mark> marks_;
  std::array<double, static_cast<size_t>(Phase::kCount)> seconds_{};
};

}  // namespace switchyard
