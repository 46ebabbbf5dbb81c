#include <cstdlib>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "parallel/communicator.h"
#include "parallel/communicator_launch.h"
#include "parallel/local_communicator.h"
#ifdef SWITCHYARD_WITH_MPI
#include "parallel/mpi/mpi_communicator.h"
#endif
#ifdef SWITCHYARD_WITH_NCCL
#include "parallel/nccl/nccl_transport.h"
#endif

namespace switchyard {
namespace {

/// Between the hosts of the job's ranks.
std::unique_ptr<Communicator> make_host_communicator(
    Backend& backend, [[maybe_unused]] const CommunicatorOptions& options) {
  const Launch launch = detect_launch([](const char* name) { return std::getenv(name); });
  if (launch.unconnected_tasks > 1) {
    log_warning("srun started ", launch.unconnected_tasks,
                " tasks without a way to MPI: each runs by itself. For one job of all of them use "
                "srun --mpi=pmix");
  }
  if (!launch.is_launched) return std::make_unique<LocalCommunicator>(backend);
#ifdef SWITCHYARD_WITH_MPI
  MpiOptions mpi_options;
  mpi_options.deadline_seconds = options.deadline_seconds;
  return make_mpi_communicator(start_mpi(), backend, mpi_options);
#else
  if (launch.size > 1) {
    fail_usage("started with ", launch.size,
               " ranks, but this build has no MPI: install Open MPI (libopenmpi-dev), configure "
               "and build again");
  }
  return std::make_unique<LocalCommunicator>(backend);
#endif
}

}  // namespace

std::unique_ptr<Communicator> make_communicator(Backend& backend,
                                                const CommunicatorOptions& options) {
  std::unique_ptr<Communicator> host = make_host_communicator(backend, options);
#ifdef SWITCHYARD_WITH_NCCL
  return choose_transport(std::move(host), backend, options);
#else
  if (options.transport == Transport::kNccl) {
    throw AgreedError(ErrorKind::kUsage,
                      "--transport nccl: this build has no NCCL; install it beside the CUDA "
                      "Toolkit, configure and build again, or leave the option out");
  }
  return host;
#endif
}

}  // namespace switchyard
