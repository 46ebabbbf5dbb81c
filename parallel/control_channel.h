// Blocking exchange of small host data between ranks: step headers, errors, file headers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace switchyard {

/// A communicator of its own with a stream of its own, so that control traffic never mixes with the
/// order of the data streams. Every rank calls the same functions in the same order.
class ControlChannel {
 public:
  /// Collective: splits `parent`. `backend` and `parent` must outlive the channel.
  ControlChannel(Backend& backend, Communicator& parent);

  int rank() const { return communicator_->rank(); }
  int size() const { return communicator_->size(); }

  /// Every rank's bytes, in rank order, on every rank.
  std::vector<std::string> all_gather(const std::string& bytes, const CollectiveLabel& label);
  /// Every rank's bytes on `root`, in rank order; empty elsewhere.
  std::vector<std::string> gather(const std::string& bytes, int root, const CollectiveLabel& label);
  /// The root's bytes on every rank; what other ranks pass is ignored.
  std::string broadcast(const std::string& bytes, int root, const CollectiveLabel& label);
  /// The largest / the sum of the ranks' values.
  int64_t all_max(int64_t value, const CollectiveLabel& label);
  int64_t all_sum(int64_t value, const CollectiveLabel& label);
  void barrier(const CollectiveLabel& label);

  /// Runs `work` on every rank, then agrees on its outcome: if it threw on any rank, every rank
  /// throws AgreedError with the lowest failing rank's kind and message (prefixed with that rank
  /// where it failed on some ranks but not on all). No rank goes on while another failed.
  void agree(const std::function<void()>& work, const CollectiveLabel& label);

 private:
  void synchronize();
  std::vector<int64_t> all_values(int64_t value, const CollectiveLabel& label);

  Backend& backend_;
  std::unique_ptr<Communicator> communicator_;
  Stream stream_;  // after the communicator: its destructor drains
};

}  // namespace switchyard
