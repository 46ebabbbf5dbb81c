// From a Hugging Face folder to a checkpoint whose tensors have roles.
#pragma once

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/hf_folder.h"

namespace switchyard {

/// Maps the folder's tensors to the roles of the model that config.json describes, by its family's
/// description: every tensor the model needs is there with the right shape and a type that can be
/// read, and every tensor of the files is used or known to be of no use. The same folder gives the
/// same result on every rank. Throws Error(kInput) naming file and tensor.
Checkpoint make_hf_checkpoint(const HfFolder& folder);

}  // namespace switchyard
