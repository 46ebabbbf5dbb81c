#include "launch/command.h"
#include "launch/command_options.h"
#include "launch/convert_options.h"
#include "launch/progress.h"
#include "launch/signals.h"
#include "parallel/topology.h"

namespace switchyard {

void run_convert_command(const std::vector<std::string>& arguments, Job& job) {
  ConvertOptions options;
  OptionTable table = make_convert_option_table(options);
  if (read_command_options(arguments, table, job) == NextStep::kDone) return;
  set_log_level(options.log_level);
  const CpuBudget budget = cpu_budget(job.control, discover_topology(job.control));
  if (options.num_threads == 0) options.num_threads = budget.default_threads;
  if (job.world.size() == 1) {
    tell_when_interrupted(concat("interrupted; ", options.output,
                                 " holds no whole checkpoint; what was written can be removed"));
  }
  const std::unique_ptr<ProgressSink> progress = make_progress(options.progress);
  run_convert(options, job.control, *progress);
}

}  // namespace switchyard
