// Collective operations between ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace switchyard {

/// How long a collective may stay unfinished.
enum class Patience {
  kDeadline,  ///< CommunicatorOptions::deadline_seconds
  kShort,     ///< the same, but two minutes at most: nothing but the exchange itself takes time
  kForever,   ///< a peer may be waiting for the user's input
};

/// Seconds that a collective with this patience may take in a job with this deadline; 0: any.
double deadline_of(Patience patience, double deadline_seconds);

/// What a collective is for; named when it fails or hangs. `phase` is a string literal.
struct CollectiveLabel {
  int64_t step = -1;
  int layer = -1;
  int round = -1;
  const char* phase = "";
  Patience patience = Patience::kDeadline;

  /// "step 3, layer 1, round 0, dispatch"; parts that are -1 are left out.
  std::string text() const;
};

/// Rows to and from every rank. Rank r's rows stand contiguously, in rank order, on both sides.
struct AllToAllArgs {
  const void* send = nullptr;  // [sum of send_rows, row_bytes]
  void* recv = nullptr;        // [sum of recv_rows, row_bytes], must not overlap send
  int64_t row_bytes = 0;
  std::vector<int64_t> send_rows;  // [size], to each rank
  std::vector<int64_t> recv_rows;  // [size], from each rank; must equal the peer's send_rows
};

/// A group of ranks. Every rank of the group calls the same operations in the same order, also with
/// nothing to send. Each call takes a stream, returns at once and completes in the stream's order;
/// buffers may be device or host memory and must stay valid until then, the communicator too. All
/// counts are 64-bit. Work on different communicators may be in flight at the same time. A peer's
/// failure, a mismatch or an expired deadline surfaces as Error(kPeer) that names rank and label at
/// the next Event::synchronize of the stream. (Over MPI only lengths are compared, not labels, and
/// an expired deadline ends the job. Over NCCL nothing is compared: a mismatch is a hang that the
/// deadline ends. What is in device memory goes in the order of the calls there, on all
/// communicators that come from one, see nccl/nccl_communicator.h.)
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// "local", "threads", "mpi" or "nccl".
  virtual std::string_view transport() const = 0;

  /// Ranks that give the same color form a new group, ordered by key, then by rank. Collective and
  /// blocking.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  virtual void all_to_all_v(Stream& stream, const AllToAllArgs& args,
                            const CollectiveLabel& label) = 0;
  /// recv[r * bytes ...] = rank r's send, on every rank. `send` may be the rank's own place in
  /// `recv`.
  virtual void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes,
                          const CollectiveLabel& label) = 0;
  /// As all_gather with a count per rank (the same vector on every rank), laid out in rank order.
  virtual void all_gather_v(Stream& stream, const void* send, void* recv,
                            const std::vector<int64_t>& bytes_of_rank,
                            const CollectiveLabel& label) = 0;
  virtual void broadcast(Stream& stream, void* data, int64_t bytes, int root,
                         const CollectiveLabel& label) = 0;
  virtual void barrier(Stream& stream, const CollectiveLabel& label) = 0;

  /// Host memory that it took so far to stage device memory, by this rank.
  virtual int64_t staging_bytes() const = 0;

  /// Ends the whole job at once with this exit status, because of an error on this rank. Returns
  /// only where the job is this one process (local, threads).
  virtual void abort(int exit_status) = 0;
};

/// How device memory travels between ranks.
enum class Transport : uint8_t {
  kAuto,  ///< NCCL where the build has it and every rank has a GPU of its own, else MPI
  kNccl,  ///< NCCL, or an error that says what is missing
  kMpi,   ///< MPI, staged through host memory where devices need that
};

/// How the job behaves.
struct CommunicatorOptions {
  /// Seconds after which an unfinished collective is reported and ends the job; 0: never.
  double deadline_seconds = 1800.0;
  Transport transport = Transport::kAuto;
};

/// The job's communicator: over MPI where a launcher (mpirun, srun) started this process, else a
/// single rank without any MPI call; for what is in device memory over NCCL, as the options say.
/// Throws Error(kUsage) if started by a launcher with more than one rank in a build without MPI,
/// AgreedError if NCCL is forced and cannot be had. `backend` must outlive the communicator.
/// Collective where the backend is a GPU.
std::unique_ptr<Communicator> make_communicator(Backend& backend,
                                                const CommunicatorOptions& options);

}  // namespace switchyard
