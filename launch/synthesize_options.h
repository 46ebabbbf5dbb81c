// The options of `synthesize`.
#pragma once

#include "launch/option_table.h"
#include "runtime/synthesize.h"

namespace switchyard {

/// The table of all options of `synthesize`, which stores into `options`; it must outlive the
/// table.
OptionTable make_synthesize_option_table(SynthesizeOptions& options);

}  // namespace switchyard
