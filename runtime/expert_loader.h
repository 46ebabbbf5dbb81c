// Threads that fill slots with experts while others compute.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/backend.h"
#include "runtime/cache_stats.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/expert_slot.h"
#include "runtime/host_tier.h"
#include "runtime/trace.h"

namespace switchyard {

/// Whether somebody waits for an expert.
enum class LoadUrgency : uint8_t { kNeeded, kAhead };

/// One expert on its way into a slot. The fields below `reusable` belong to the loader.
struct ExpertLoad {
  int64_t number = 0;  // the expert's among all of the rank
  ExpertId id;
  ExpertWeights slot;
  TensorView bytes;  // the slot as bytes
  Event reusable;    // the slot's last reader is done

  enum class State : uint8_t { kQueued, kRunning, kDone };
  State state = State::kQueued;
  std::exception_ptr error;
};

/// What a loader works with. All references must outlive it.
struct ExpertLoaderParts {
  const Checkpoint& checkpoint;
  TensorSources& sources;
  Backend& backend;
  HostTier& host_tier;
  int64_t num_threads = 1;
  FileCaching caching = FileCaching::kPageCache;
  Trace* trace = nullptr;
};

/// Loads experts, needed ones before others, in the order they were asked for. One host thread
/// asks; the loader's threads answer. Each has a stream of its own.
class ExpertLoader {
 public:
  explicit ExpertLoader(const ExpertLoaderParts& parts);
  /// Ends the threads once the loads under way are done; queued ones are dropped.
  ~ExpertLoader();
  ExpertLoader(const ExpertLoader&) = delete;
  ExpertLoader& operator=(const ExpertLoader&) = delete;

  /// Whether a full host tier gives up old copies for new ones.
  void set_host_tier_policy(HostTier::WhenFull when_full);

  void start(std::shared_ptr<ExpertLoad> load, LoadUrgency urgency);
  /// A load ahead of its need is needed now.
  void promote(const ExpertLoad& load);
  /// Drops a load that has not begun; false if it has.
  bool cancel(const ExpertLoad& load);
  bool is_done(const ExpertLoad& load) const;
  /// Waits for a load and rethrows its error: Error(kInput) naming file, offset and expert.
  void wait(const ExpertLoad& load);

  /// Links, pack seconds, and nothing else.
  CacheStats traffic() const;

 private:
  /// Adds up the time in which at least one load is under way.
  struct Link {
    LinkTraffic traffic;
    int active = 0;
    double since = 0.0;

    void begin(double now);
    void end(double now, int64_t loads, int64_t bytes);
  };
  class Lane;

  void run(int lane_number);
  /// The next load, null when the loader ends. Waits.
  std::shared_ptr<ExpertLoad> take();
  void finish(ExpertLoad& load, std::exception_ptr error);

  const ExpertLoaderParts p_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<ExpertLoad>> needed_;
  std::deque<std::shared_ptr<ExpertLoad>> ahead_;
  Link files_;
  Link host_;
  double pack_seconds_ = 0.0;
  HostTier::WhenFull when_full_ = HostTier::WhenFull::kReplaceOldest;
  bool is_ending_ = false;
  std::vector<std::thread> threads_;  // last: they use the others
};

}  // namespace switchyard
