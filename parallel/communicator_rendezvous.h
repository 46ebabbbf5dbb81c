// Where threads that are ranks of one job meet for collectives.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "parallel/host_collective.h"

namespace switchyard {

class RendezvousGroup;

/// What all groups of one job share. The first failure is everyone's failure.
class RendezvousWorld {
 public:
  /// Seconds a rank waits in one collective before it reports a deadlock; 0: for ever.
  RendezvousWorld(int size, double deadline_seconds);

  /// Lets every rank that waits, or comes later, throw Error(kPeer) with this text. A failure
  /// before stays the one that is told.
  void fail(const std::string& why);

 private:
  friend class RendezvousGroup;

  void fail_locked(const std::string& why);
  std::string deadlock_report() const;

  std::mutex mutex_;
  double deadline_seconds_;
  std::string failure_;                       // empty: none yet
  std::vector<RendezvousGroup*> groups_;      // alive
  std::vector<std::string> last_collective_;  // [size], of each rank, that it has entered
};

/// A group of ranks. Its collectives are matched by their sequence number. Ranks here are those of
/// the group; messages name the ranks of the job.
class RendezvousGroup {
 public:
  /// `job_ranks[r]` is the job's number of the group's rank r.
  RendezvousGroup(std::shared_ptr<RendezvousWorld> world, std::vector<int> job_ranks);
  RendezvousGroup(const RendezvousGroup&) = delete;
  RendezvousGroup& operator=(const RendezvousGroup&) = delete;
  ~RendezvousGroup();

  int size() const { return static_cast<int>(job_ranks_.size()); }
  int job_rank(int rank) const { return job_ranks_[static_cast<size_t>(rank)]; }
  RendezvousWorld& world() const { return *world_; }

  /// Meets the others and copies what they send to `rank`, by its `backend`. Returns when nobody
  /// uses this rank's buffers any more. Throws Error(kPeer) on a mismatch, a failure or an expired
  /// deadline.
  void run(int rank, const Backend& backend, const HostCollective& mine);

  /// The group of `members` that the split with this sequence number makes for `color`: the same
  /// object for each of them. Each member calls it once.
  std::shared_ptr<RendezvousGroup> child(int64_t sequence, int color,
                                         const std::vector<int>& members);

  /// `rank` takes part in nothing more; whoever waits for it, or comes to, fails.
  void leave(int rank);

 private:
  friend class RendezvousWorld;

  struct Operation {
    std::vector<const HostCollective*> parts;  // [size], of those who came
    int num_arrived = 0;
    int num_copied = 0;
    int num_gone = 0;
    std::condition_variable changed;
  };
  struct Child {
    std::shared_ptr<RendezvousGroup> group;
    size_t num_taken = 0;
  };

  Operation& arrive(int rank, const HostCollective& mine);
  void wait_for_peers(std::unique_lock<std::mutex>& lock, Operation& operation,
                      const HostCollective& mine);
  void check_match(int rank, const HostCollective& mine, int peer, const HostCollective& theirs);
  std::string left_text(int absent, int rank, const HostCollective& waiting) const;

  std::shared_ptr<RendezvousWorld> world_;
  std::vector<int> job_ranks_;
  // Guarded by the world's mutex.
  std::map<int64_t, Operation> operations_;  // in flight, by sequence number
  std::map<std::pair<int64_t, int>, Child> children_;
  std::vector<char> has_left_;  // [size]
};

}  // namespace switchyard
