#include <cstdio>

#include "kernels/base/text_table.h"
#include "launch/command.h"

namespace switchyard {
namespace {

void print_overview() {
  TextTable table({"command", ""});
  for (const Command& command : commands()) table.add_row({command.name, command.summary});
  std::printf(
      "switchyard: expert-parallel inference of mixture-of-experts language models\n\n"
      "usage: switchyard COMMAND [--OPTION VALUE ...]\n"
      "       mpirun -np N switchyard COMMAND [--OPTION VALUE ...]\n\n%s\n"
      "'switchyard COMMAND --help' lists the options of a command.\n",
      table.text().c_str());
}

}  // namespace

void run_help_command(const std::vector<std::string>& arguments, Job& job) {
  const auto check = [&] {
    if (arguments.empty()) return;
    fail_usage("help takes no argument; use 'switchyard ", arguments.front(), " --help'");
  };
  job.control.agree(check, {.phase = "command"});
  if (job.is_root()) print_overview();
}

}  // namespace switchyard
