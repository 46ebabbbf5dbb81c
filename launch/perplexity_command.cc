#include "launch/command.h"
#include "launch/command_options.h"
#include "launch/perplexity_options.h"
#include "launch/run_command.h"
#include "runtime/perplexity.h"

namespace switchyard {

void run_perplexity_command(const std::vector<std::string>& arguments, Job& job) {
  PerplexityOptions options;
  OptionTable table = make_perplexity_option_table(options);
  if (read_command_options(arguments, table, job) == NextStep::kDone) return;
  run_model_command(options.run, table, job, "there is no result",
                    [&](Backend& backend, Communicator& world, ProgressSink& progress) {
                      run_perplexity(options, backend, world, progress);
                    });
}

}  // namespace switchyard
