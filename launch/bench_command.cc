#include "launch/bench_options.h"
#include "launch/command.h"
#include "launch/command_options.h"
#include "launch/run_command.h"

namespace switchyard {

void run_bench_command(const std::vector<std::string>& arguments, Job& job) {
  BenchOptions options;
  OptionTable table = make_bench_option_table(options);
  if (read_command_options(arguments, table, job) == NextStep::kDone) return;
  run_model_command(options.run, table, job, "",
                    [&](Backend& backend, Communicator& world, ProgressSink& progress) {
                      run_bench(options, backend, world, progress);
                    });
}

}  // namespace switchyard
