#include "launch/command.h"
#include "launch/command_options.h"
#include "launch/report_options.h"

namespace switchyard {

void run_report_command(const std::vector<std::string>& arguments, Job& job) {
  ReportOptions options;
  OptionTable table = make_report_option_table(options);
  if (read_command_options(arguments, table, job) == NextStep::kDone) return;
  set_log_level(options.log_level);
  run_report(options, job.control);
}

}  // namespace switchyard
