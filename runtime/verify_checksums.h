// Whether the files still hold what was written.
#pragma once

#include <cstdint>

#include "parallel/control_channel.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// Reads all weights of a converted checkpoint, past the page cache, and compares their checksums;
/// rank i looks at every R-th expert and matrix. Returns the bytes of all ranks. Collective; throws
/// AgreedError(kInput) naming the file and what is damaged in it.
int64_t verify_checksums(const Checkpoint& checkpoint, ControlChannel& control);

}  // namespace switchyard
