// Options of `report`.
#pragma once

#include "launch/option_table.h"
#include "runtime/run_report/report.h"

namespace switchyard {

/// Fills `options`, which must outlive the table.
OptionTable make_report_option_table(ReportOptions& options);

}  // namespace switchyard
