// The backend a command computes with.
#pragma once

#include <memory>

#include "launch/command.h"
#include "runtime/run_options.h"

namespace switchyard {

/// This rank's backend: kind, GPU, instruction set and seed as the options say, threads too, else
/// the cores of this rank. Tells which rank has which GPU. Warns once, for the whole job, where the
/// launcher wastes cores. Collective. Throws AgreedError.
std::unique_ptr<Backend> make_compute_backend(const RunOptions& options, Job& job);

}  // namespace switchyard
