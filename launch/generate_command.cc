#include "kernels/base/error.h"
#include "launch/command.h"
#include "launch/command_options.h"
#include "launch/generate_options.h"
#include "launch/run_command.h"
#include "runtime/generate.h"

namespace switchyard {

void run_generate_command(const std::vector<std::string>& arguments, Job& job) {
  GenerateOptions options;
  OptionTable table = make_generate_option_table(options);
  if (read_command_options(arguments, table, job) == NextStep::kDone) return;
  // A bar on the terminal on which the text appears would be drawn over it.
  const bool is_stream = options.stream == TextStream::kStandardOutput;
  if (is_stream && options.run.progress == ProgressForm::kAuto) {
    options.run.progress = ProgressForm::kNone;
  }
  const bool has_file = !options.output.empty() && options.output != "-";
  const std::string interrupted =
      has_file ? concat("what was generated, if anything, stands in ", options.output, ".partial")
               : "";
  run_model_command(options.run, table, job, interrupted,
                    [&](Backend& backend, Communicator& world, ProgressSink& progress) {
                      run_generate(options, backend, world, progress);
                    });
}

}  // namespace switchyard
