#include <unistd.h>

#include "launch/command.h"
#include "launch/command_options.h"
#include "launch/option_values.h"
#include "launch/run_options.h"
#include "runtime/inspect.h"
#include "runtime/requests/file_handle.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxRanks = 65536;  // above any machine

OptionTable make_table(InspectOptions& o) {
  OptionSpec model = model_option(o.model);
  model.value_name = "DIR_OR_FILE";
  model.help = "directory of a checkpoint, or one of its files";
  const OptionGroup report = {
      "Report",
      {model,
       {.name = "ranks",
        .value_name = "N",
        .default_text = "0",
        .help = "tells what each of N ranks would hold; 0: does not",
        .set = store_whole_number(o.num_ranks, 0, kMaxRanks)},
       {.name = "tensors",
        .default_text = "false",
        .help = "lists every tensor; those of a single file are listed anyway",
        .set = store_choice(o.tensors,
                            {{"true", TensorListing::kYes}, {"false", TensorListing::kNo}})},
       {.name = "verify",
        .default_text = "false",
        .help = "reads all weights of a converted checkpoint and compares their checksums",
        .set =
            store_choice(o.verify, {{"true", Verification::kYes}, {"false", Verification::kNo}})},
       json_option(o.form)}};
  return OptionTable("inspect", "what a checkpoint is, from its headers alone",
                     {report, {"Operation", {log_level_option(o.log_level)}}});
}

}  // namespace

void run_inspect_command(const std::vector<std::string>& arguments, Job& job) {
  InspectOptions options;
  OptionTable table = make_table(options);
  if (read_command_options(arguments, table, job) == NextStep::kDone) return;
  set_log_level(options.log_level);
  const std::string report = inspect(options, job.backend, job.control);
  const auto print = [&] {
    FileHandle::borrow(STDOUT_FILENO).write_all(report, "standard output");
  };
  job.control.agree(print, {.phase = "report"});
}

}  // namespace switchyard
