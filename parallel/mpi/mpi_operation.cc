#include "parallel/mpi/mpi_operation.h"

#include <set>

#include "kernels/base/error.h"

namespace switchyard {

void check_mpi(int code, const std::string& what) {
  if (code == MPI_SUCCESS) return;
  std::string text(MPI_MAX_ERROR_STRING, '\0');
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  text.resize(static_cast<size_t>(length));
  throw Error(ErrorKind::kPeer, concat(what, " failed: ", text));
}

void MpiOperation::start(MPI_Comm comm, Clock::time_point now) {
  comm_ = comm;
  started_ = now;
  start_phase();
}

bool MpiOperation::poll() {
  if (num_pending_ == 0) return false;
  int count = 0;
  const int code = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count,
                                indices_.data(), statuses_.data());
  if (code != MPI_ERR_IN_STATUS) check_mpi(code, transfer_.what);
  for (int i = 0; i < count; ++i) {
    const MPI_Status& status = statuses_[static_cast<size_t>(i)];
    if (code == MPI_ERR_IN_STATUS) check_mpi(status.MPI_ERROR, transfer_.what);
    check_length(messages_[static_cast<size_t>(indices_[static_cast<size_t>(i)])], status);
  }
  num_pending_ -= count;
  if (num_pending_ == 0) {
    ++phase_;
    start_phase();
  }
  return count > 0;
}

void MpiOperation::abandon() {
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    if (messages_[i].is_incoming) MPI_Cancel(&requests_[i]);
    MPI_Request_free(&requests_[i]);
  }
}

bool MpiOperation::is_late(Clock::time_point now) const {
  return transfer_.deadline_seconds > 0.0 &&
         now - started_ > std::chrono::duration<double>(transfer_.deadline_seconds);
}

std::string MpiOperation::lateness() const {
  std::set<int> senders;
  std::set<int> receivers;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    (messages_[i].is_incoming ? senders : receivers).insert(messages_[i].peer);
  }
  std::string text = concat(transfer_.what, " is unfinished after ", transfer_.deadline_seconds,
                            " s: waiting for rank");
  for (const int peer : senders.empty() ? receivers : senders) text += concat(" ", peer);
  return text + (senders.empty() ? " to receive" : " to send") + "; ending the job";
}

/// Starts phases until one has messages, or all are complete.
void MpiOperation::start_phase() {
  requests_.clear();
  messages_.clear();
  while (!is_complete() && requests_.empty()) {
    const MessagePhase& phase = transfer_.phases[phase_];
    for (const IncomingMessage& message : phase.incoming) receive(message);
    for (const OutgoingMessage& message : phase.outgoing) send(message);
    if (requests_.empty()) ++phase_;
  }
  num_pending_ = static_cast<int>(requests_.size());
  indices_.resize(requests_.size());
  statuses_.resize(requests_.size());
}

void MpiOperation::receive(const IncomingMessage& message) {
  for_each_part(message.piece.bytes, [&](int64_t begin, int bytes) {
    messages_.push_back({message.from, bytes, true});
    check_mpi(MPI_Irecv(message.piece.data + begin, bytes, MPI_BYTE, message.from, transfer_.tag,
                        comm_, &requests_.emplace_back(MPI_REQUEST_NULL)),
              transfer_.what);
  });
}

void MpiOperation::send(const OutgoingMessage& message) {
  for_each_part(message.piece.bytes, [&](int64_t begin, int bytes) {
    messages_.push_back({message.to, bytes, false});
    check_mpi(MPI_Isend(message.piece.data + begin, bytes, MPI_BYTE, message.to, transfer_.tag,
                        comm_, &requests_.emplace_back(MPI_REQUEST_NULL)),
              transfer_.what);
  });
}

void MpiOperation::check_length(const Message& message, const MPI_Status& status) const {
  if (!message.is_incoming) return;
  int bytes = 0;
  MPI_Get_count(&status, MPI_BYTE, &bytes);
  if (bytes == message.bytes) return;
  throw Error(ErrorKind::kPeer,
              concat("ranks disagree in ", transfer_.what, ": rank ", message.peer, " sent ", bytes,
                     " bytes where ", message.bytes, " are expected"));
}

}  // namespace switchyard
