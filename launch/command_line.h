// The program: finds the command, runs it on every rank, and turns failures into exit statuses.
#pragma once

#include <string>
#include <vector>

namespace switchyard {

/// Runs `switchyard ARGUMENTS...` as one rank of the job its surroundings describe; returns the
/// process's exit status (README, "Exit codes").
int run_command_line(const std::vector<std::string>& arguments);

}  // namespace switchyard
