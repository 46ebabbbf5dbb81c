#include "launch/command.h"

namespace switchyard {

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"score", "exact log-probabilities of the tokens of every request", run_score_command},
      {"version", "version and features of this build; also --version", run_version_command},
      {"help", "this text; also --help", run_help_command},
  };
  return all;
}

}  // namespace switchyard
