// Ranks with a GPU each, over NCCL.
#pragma once

#include <memory>

#include "kernels/cuda/cuda_backend.h"
#include "parallel/communicator.h"

namespace switchyard {

/// A communicator for device memory of `backend`; what lies in host memory, barriers, splits and
/// aborts go to `host`, which it keeps. All ranks of a call pass buffers of the same kind of
/// memory; a null one counts as host memory.
///
/// Device memory travels on the stream itself: no host thread takes part. A rank's exchanges over
/// NCCL run one after another on its GPU, in the order of the calls, also those of several streams
/// and of all communicators that come from this one: two at a time could each hold what the other
/// waits for. So every rank makes the calls of all these communicators in one order.
///
/// NCCL connects the ranks in the first call with device memory, which therefore blocks: a
/// communicator that only ever carries host memory takes nothing of a GPU.
std::unique_ptr<Communicator> over_nccl(std::unique_ptr<Communicator> host, CudaBackend& backend,
                                        const CommunicatorOptions& options);

}  // namespace switchyard
