// Whole tensors out of the shards of a training.
#pragma once

#include <cstddef>
#include <vector>

#include "runtime/checkpoint/fairseq_header.h"

namespace switchyard {

/// The tensors of the shards headers[group[0]], headers[group[1]], ..., in this order: the
/// parameters of their flat tensors, cut out of the pieces without copying, and the first shard's
/// other tensors. Files of entries and extents are numbers of headers. A group of one shard may
/// have no flat tensors. Throws Error(kInput) naming file and tensor for shards that do not fit
/// together or do not add up to what their metadata says.
std::vector<TorchTensor> join_shards(const std::vector<FairseqHeader>& headers,
                                     const std::vector<size_t>& group);

}  // namespace switchyard
