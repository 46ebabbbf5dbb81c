// Every exchange of a job once, before the first step needs it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "parallel/control_channel.h"

namespace switchyard {

/// A kind of exchange of the job. Every rank has the same phases.
struct WarmUpPhase {
  const char* name = "";  // also the label's phase
  /// Runs it on this rank and returns when it has ended.
  std::function<void(const CollectiveLabel& label)> run;
};

/// Runs the phases one after another, all ranks together: so transports connect and take their
/// memory now, and what does not work, or not in time (Patience::kShort), ends the job before any
/// work is lost. Logs by rank 0 how long each took on each rank. Collective. Throws Error(kPeer)
/// that names rank and phase.
void warm_up(ControlChannel& control, const std::vector<WarmUpPhase>& phases);

/// Milliseconds by rank and phase, with the slowest rank of each phase in the last row.
std::string warm_up_table(const std::vector<WarmUpPhase>& phases,
                          const std::vector<std::vector<double>>& milliseconds_of_rank);

}  // namespace switchyard
