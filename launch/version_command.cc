#include <cstdio>

#include "kernels/backend.h"
#include "kernels/base/error.h"
#include "launch/command.h"

namespace switchyard {
void run_version_command(const std::vector<std::string>& arguments, Job& job) {
  const auto check = [&] {
    if (!arguments.empty()) fail_usage("version takes no argument, not '", arguments.front(), "'");
  };
  job.control.agree(check, {.phase = "command"});
  if (!job.is_root()) return;
  std::printf(
      "switchyard %s\nMPI: %s\nCUDA: %s\ninstruction set here: %s\n"
      "compiler: %s, %s\n",
      SWITCHYARD_VERSION, SWITCHYARD_MPI, SWITCHYARD_CUDA_TEXT,
      std::string(name_of(best_instruction_set())).c_str(), SWITCHYARD_COMPILER,
      SWITCHYARD_BUILD_TYPE);
}

}  // namespace switchyard
