// The flat tensors of trainings with sharded state (fairscale's FullyShardedDataParallel).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/pickle.h"
#include "runtime/checkpoint/torch_file.h"

namespace switchyard {

/// Which files hold pieces of a flat tensor.
enum class FlatSpread : uint8_t {
  kAllShards,  ///< one piece in each shard
  kOwnShard,   ///< each shard has a whole one of its own, as of experts
};

/// Parameters one behind the other in a 1-D tensor, as one shard's metadata describes them.
struct FlatParameter {
  std::string name;                          // of the flat tensor, without wrappers
  std::vector<std::string> names;            // of the parameters, without wrappers
  std::vector<std::vector<int64_t>> shapes;  // of the parameters
  int64_t padding = 0;                       // elements at the end of this shard's piece
  FlatSpread spread = FlatSpread::kAllShards;
};

/// Whether a tensor of this name is flat. Nothing else tells: metadata also stands beside whole
/// tensors.
bool is_flat_name(std::string_view name);

/// The metadata (`shard_metadata` or `fsdp_metadata`) of the flat tensors among `tensors`; empty if
/// there are none. Throws Error(kInput) naming `file` and the flat tensor for metadata that is
/// missing, malformed or contradicts itself.
std::vector<FlatParameter> read_flat_parameters(const Pickle& pickle, const std::string& file,
                                                const std::vector<TorchTensor>& tensors);

}  // namespace switchyard
