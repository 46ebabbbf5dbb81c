// What the commands that run a model share between their options and their work.
#pragma once

#include <functional>
#include <string>

#include "launch/command.h"
#include "launch/option_table.h"
#include "runtime/progress.h"
#include "runtime/run_options.h"

namespace switchyard {

/// A command's own work, on the backend, the ranks and the progress display that the options ask
/// for.
using ModelWork = std::function<void(Backend&, Communicator&, ProgressSink&)>;

/// Completes `options` by version and listing, makes what they ask for and runs `work`. A job of
/// one process that is interrupted says so, and `interrupted`. Collective.
void run_model_command(RunOptions& options, const OptionTable& table, Job& job,
                       const std::string& interrupted, const ModelWork& work);

}  // namespace switchyard
