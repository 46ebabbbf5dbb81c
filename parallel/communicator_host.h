// What every transport between host threads or processes shares.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/host_collective.h"
#include "parallel/staging.h"

namespace switchyard {

/// Which memory a transport's run() can address.
enum class TransportReach : uint8_t {
  kAnyMemory,   ///< copies by copy_piece()
  kHostMemory,  ///< what lies in device memory is staged through host memory
};

/// Reduces the calls of a Communicator to HostCollectives, which run as host tasks of the given
/// stream. Calls come from one host thread at a time. Must outlive the work enqueued on it.
class HostCommunicator : public Communicator {
 public:
  /// `backend` must outlive the communicator.
  HostCommunicator(Backend& backend, int rank, int size, TransportReach reach);

  int rank() const final { return rank_; }
  int size() const final { return size_; }

  void all_to_all_v(Stream& stream, const AllToAllArgs& args, const CollectiveLabel& label) final;
  void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes,
                  const CollectiveLabel& label) final;
  void all_gather_v(Stream& stream, const void* send, void* recv,
                    const std::vector<int64_t>& bytes_of_rank, const CollectiveLabel& label) final;
  void broadcast(Stream& stream, void* data, int64_t bytes, int root,
                 const CollectiveLabel& label) final;
  void barrier(Stream& stream, const CollectiveLabel& label) final;
  int64_t staging_bytes() const final { return staging_.bytes(); }

 protected:
  /// What a rank tells the others in a split.
  struct SplitEntry {
    int32_t color = 0;
    int32_t key = 0;
    int64_t note = 0;  // for the transport's own use
  };

  /// Takes part in the collective and blocks until this rank's part is complete and none of its
  /// buffers is in use. Called on any thread, on several at once.
  virtual void run(const HostCollective& collective) = 0;
  /// The collective was enqueued but will never run, because its stream failed before.
  virtual void skip(const HostCollective& collective) noexcept = 0;

  Backend& backend() const { return backend_; }
  /// The next call's number.
  int64_t take_sequence() { return next_sequence_++; }
  /// Every rank's entry, in rank order. Blocks.
  std::vector<SplitEntry> exchange_split(int64_t sequence, const SplitEntry& mine);
  /// The ranks of one color, ordered by key, then by rank.
  static std::vector<int> members_of(const std::vector<SplitEntry>& entries, int color);

 private:
  class Pending;

  HostCollective make_collective(CollectiveKind kind, const CollectiveLabel& label);
  void enqueue(Stream& stream, HostCollective collective);

  Backend& backend_;
  int rank_;
  int size_;
  TransportReach reach_;
  StagingPool staging_;
  int64_t next_sequence_ = 0;
};

}  // namespace switchyard
