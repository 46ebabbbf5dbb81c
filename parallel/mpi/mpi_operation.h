// A collective on its way through MPI.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include "parallel/mpi/message_plan.h"

namespace switchyard {

/// Throws Error(kPeer) with MPI's reason unless `code` is MPI_SUCCESS. `what` is what failed.
void check_mpi(int code, const std::string& what);

/// A collective's messages, with all ranks and tags as MPI takes them.
struct MpiTransfer {
  std::vector<MessagePhase> phases;  // ranks of the job
  int tag = 0;
  std::string what;               // named when it fails or hangs
  double deadline_seconds = 0.0;  // 0: never
  int64_t max_message_bytes = 0;  // longer pieces travel as several messages; at most 2^31 - 1
};

/// A transfer that has been started. Everything but its result is the MPI thread's.
class MpiOperation {
 public:
  using Clock = std::chrono::steady_clock;

  /// `transfer` must outlive the operation.
  explicit MpiOperation(const MpiTransfer& transfer) : transfer_(transfer) {}

  /// Posts the first messages. Throws Error(kPeer).
  void start(MPI_Comm comm, Clock::time_point now);
  /// Whether anything has arrived or left since the last call. Throws Error(kPeer).
  bool poll();
  /// Lets go of the buffers as far as MPI allows. The job is about to end.
  void abandon();

  bool is_complete() const { return phase_ == transfer_.phases.size(); }
  bool is_late(Clock::time_point now) const;
  /// What to tell when it is late: the ranks that are waited for.
  std::string lateness() const;

  // The result, guarded by the MpiThread's mutex.
  bool is_done = false;
  std::exception_ptr error;

 private:
  struct Message {
    int peer = 0;
    int bytes = 0;
    bool is_incoming = false;
  };

  void start_phase();
  void receive(const IncomingMessage& message);
  void send(const OutgoingMessage& message);
  void check_length(const Message& message, const MPI_Status& status) const;
  /// At least one part, also of nothing. Parts arrive in order: MPI never lets messages of one
  /// sender and tag overtake each other.
  template <typename Function>
  void for_each_part(int64_t bytes, const Function& function) const {
    int64_t begin = 0;
    do {
      const int64_t part = std::min(bytes - begin, transfer_.max_message_bytes);
      function(begin, static_cast<int>(part));
      begin += part;
    } while (begin < bytes);
  }

  const MpiTransfer& transfer_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  Clock::time_point started_;
  size_t phase_ = 0;
  int num_pending_ = 0;
  std::vector<MPI_Request> requests_;  // of the phase
  std::vector<Message> messages_;      // what each request is
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

}  // namespace switchyard
