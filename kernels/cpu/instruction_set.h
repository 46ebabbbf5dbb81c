// Which instructions this machine executes.
#pragma once

#include "kernels/backend.h"

namespace switchyard {

/// Whether this machine executes `set`; kAuto and kPortable always run.
bool is_supported(InstructionSet set);

}  // namespace switchyard
