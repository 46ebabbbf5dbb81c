// Opening what `convert` has written.
#pragma once

#include <string>

#include "parallel/control_channel.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// Whether `directory` holds a converted checkpoint: a switchyard.json.
bool is_native_folder(const std::string& directory);

/// Opens it. Collective: rank 0 reads switchyard.json, rank i looks at the files i mod R. What is
/// wrong on any rank is thrown on all: Error(kInput) naming file and tensor for a description that
/// is damaged or of another version, for a file that is missing or of another size, and for a
/// tensor that is missing, of another shape, or not the model's. Whether the packing is that of the
/// backend is not looked at: see check_native().
Checkpoint open_native_checkpoint(const std::string& directory, ControlChannel& control);

}  // namespace switchyard
