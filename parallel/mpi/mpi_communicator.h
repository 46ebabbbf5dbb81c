// Ranks that are processes, over MPI.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace switchyard {

class MpiThread;

struct MpiOptions {
  double deadline_seconds = 1800.0;
  /// Longer pieces travel as several messages. MPI counts with an int.
  int64_t max_message_bytes = int64_t{1} << 30;
};

/// Starts MPI for this process, or gives what already runs. The communicators share it; MPI ends
/// with the last owner.
std::shared_ptr<MpiThread> start_mpi();

/// A communicator of all ranks with message tags of its own. Every rank makes the same ones in the
/// same order.
std::unique_ptr<Communicator> make_mpi_communicator(std::shared_ptr<MpiThread> mpi,
                                                    Backend& backend, const MpiOptions& options);

}  // namespace switchyard
