// The options that say which GPUs a run takes and how they exchange.
#pragma once

#include "launch/option_table.h"
#include "runtime/run_options.h"

namespace switchyard {

/// --device, --share-devices, --transport. `options` must outlive what is returned.
OptionGroup device_options(RunOptions& options);

}  // namespace switchyard
