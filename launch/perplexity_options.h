// The options of `perplexity`.
#pragma once

#include "launch/option_table.h"
#include "runtime/perplexity_options.h"

namespace switchyard {

/// The table of all options of `perplexity`, which stores into `options`; it must outlive the
/// table.
OptionTable make_perplexity_option_table(PerplexityOptions& options);

}  // namespace switchyard
