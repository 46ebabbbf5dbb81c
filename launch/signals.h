// What the user sees when a signal ends the program.
#pragma once

#include <string>

namespace switchyard {

/// From now on SIGINT and SIGTERM write `message` to standard error before they end the process as
/// they always do. For jobs of one process: a launcher sends SIGTERM also when another rank failed,
/// whose message is the one that counts.
void tell_when_interrupted(const std::string& message);

}  // namespace switchyard
