// Reading a command's options, alike on every rank.
#pragma once

#include <string>
#include <vector>

#include "launch/command.h"
#include "launch/option_table.h"

namespace switchyard {

/// What is left of a command once its options are read.
enum class NextStep {
  kRun,   ///< the command itself
  kDone,  ///< nothing: --help or --version was all that was asked for
};

/// Reads the arguments after the command's name, and --config, into the options that `table`
/// stores into; carries out --help and --version. Collective; afterwards all ranks run the same
/// version with the same options (OptionScope::kRank apart). Throws AgreedError.
NextStep read_command_options(const std::vector<std::string>& arguments, OptionTable& table,
                              Job& job);

}  // namespace switchyard
