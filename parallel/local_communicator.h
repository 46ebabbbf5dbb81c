// A job of one rank.
#pragma once

#include <memory>

#include "parallel/communicator_host.h"

namespace switchyard {

/// One rank: what it sends, it receives. Makes no MPI call.
class LocalCommunicator final : public HostCommunicator {
 public:
  explicit LocalCommunicator(Backend& backend)
      : HostCommunicator(backend, 0, 1, TransportReach::kAnyMemory) {}

  std::string_view transport() const override { return "local"; }
  std::unique_ptr<Communicator> split(int color, int key) override;
  /// Does nothing: the caller ends the process.
  void abort(int exit_status) override;

 protected:
  void run(const HostCollective& collective) override;
  void skip(const HostCollective& collective) noexcept override;
};

}  // namespace switchyard
