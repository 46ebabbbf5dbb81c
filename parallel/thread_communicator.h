// Ranks that are threads of one process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace switchyard {

class RendezvousGroup;

struct ThreadWorldOptions {
  /// Of the small delays before a rank joins a collective; they depend on seed, rank and the
  /// collective's number alone. 0: no delays.
  uint64_t seed = 1;
  /// After which a rank that waits in a collective reports a deadlock; 0: never.
  double deadline_seconds = 30.0;
};

/// A job whose ranks are threads. A collective compares kind, label and counts of all ranks; a
/// mismatch, a rank that left or aborted, and a deadlock are Error(kPeer) on every rank.
class ThreadWorld {
 public:
  static constexpr int kMaxRanks = 64;

  /// Throws Error(kUsage) unless 1 <= size <= kMaxRanks.
  explicit ThreadWorld(int size, const ThreadWorldOptions& options = {});

  /// The job's communicator for `rank`; once for each. May outlive the ThreadWorld.
  std::unique_ptr<Communicator> communicator(int rank, Backend& backend);

  /// Lets every rank that is in a collective, or comes to one, throw Error(kPeer) with this text.
  void fail(const std::string& why);

 private:
  ThreadWorldOptions options_;
  std::shared_ptr<RendezvousGroup> group_;
};

/// Runs `body` on `size` threads, each with a backend of its own (the strict one's seed differs by
/// rank) and the job's communicator. When a rank throws, the others fail at their next collective.
/// Returns when all have ended; rethrows the first error that is not the echo of another rank's.
void run_ranks(int size, const ThreadWorldOptions& options, const BackendOptions& backend_options,
               const std::function<void(Backend& backend, Communicator& world)>& body);

}  // namespace switchyard
