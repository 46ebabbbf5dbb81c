#include "kernels/base/error.h"
#include "launch/command.h"
#include "launch/command_options.h"
#include "launch/run_command.h"
#include "launch/score_options.h"
#include "runtime/score.h"

namespace switchyard {

void run_score_command(const std::vector<std::string>& arguments, Job& job) {
  ScoreOptions options;
  OptionTable table = make_score_option_table(options);
  if (read_command_options(arguments, table, job) == NextStep::kDone) return;
  const std::string interrupted =
      options.output == "-"
          ? ""
          : concat("what was scored, if anything, stands in ", options.output, ".partial");
  run_model_command(options.run, table, job, interrupted,
                    [&](Backend& backend, Communicator& world, ProgressSink& progress) {
                      run_score(options, backend, world, progress);
                    });
}

}  // namespace switchyard
