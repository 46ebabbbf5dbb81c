// Whether ranks exchange over NCCL.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace switchyard {

/// Why these ranks cannot exchange over NCCL, the same on all of them; empty if they can: each
/// computes on a GPU of its own. Collective over `host`, a communicator between hosts.
std::string nccl_obstacle(Communicator& host, Backend& backend);

/// NCCL over `host`, see over_nccl(). Throws AgreedError(kUsage) if there is an obstacle.
/// Collective.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host,
                                                     Backend& backend,
                                                     const CommunicatorOptions& options);

/// The transport that the options ask for: NCCL over `host`, or `host` itself. Tells where it is
/// not NCCL, and why. Collective; throws AgreedError(kUsage) if NCCL is forced and there is an
/// obstacle.
std::unique_ptr<Communicator> choose_transport(std::unique_ptr<Communicator> host, Backend& backend,
                                               const CommunicatorOptions& options);

}  // namespace switchyard
