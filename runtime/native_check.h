// Whether a converted checkpoint is packed as this machine computes.
#pragma once

#include "kernels/backend.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// Throws Error(kInput) saying to convert again unless the checkpoint's packing is the backend's
/// and every extent has the bytes that the backend's packing takes. Nothing to do for a checkpoint
/// that is not converted.
void check_native(const Checkpoint& checkpoint, const Backend& backend);

}  // namespace switchyard
