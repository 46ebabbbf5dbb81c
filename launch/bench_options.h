// The options of `bench`.
#pragma once

#include "launch/option_table.h"
#include "runtime/bench/bench.h"

namespace switchyard {

/// Stores into `options`, which must outlive the table.
OptionTable make_bench_option_table(BenchOptions& options);

}  // namespace switchyard
