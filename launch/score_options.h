// The options of `score`.
#pragma once

#include "launch/option_table.h"
#include "runtime/score_options.h"

namespace switchyard {

/// The table of all options of `score`, which stores into `options`; it must outlive the table.
OptionTable make_score_option_table(ScoreOptions& options);

}  // namespace switchyard
