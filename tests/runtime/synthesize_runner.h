// Runs `synthesize` with ranks as threads.
#pragma once

#include <map>
#include <string>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/synthesize.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {

/// Runs the command on `num_ranks` threads; returns the bytes it said it wrote.
int64_t synthesize(const SynthesizeOptions& options, int num_ranks = 1);

/// Options of one thread.
SynthesizeOptions options_for(const std::string& preset, const std::string& output);

/// The contents of all files of a folder, by name.
std::map<std::string, std::string> contents(const TempFolder& folder, const std::string& name);

/// Opens the checkpoint as a run of one rank does.
Checkpoint open(const std::string& directory);

}  // namespace switchyard
