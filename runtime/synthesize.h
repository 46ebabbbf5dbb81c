// `synthesize`: a checkpoint of a preset's shape with random weights.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/base/log.h"
#include "parallel/control_channel.h"
#include "runtime/model_preset.h"
#include "runtime/progress.h"

namespace switchyard {

/// Every option of `synthesize`.
struct SynthesizeOptions {
  std::string preset;     // a built-in one's name, or a YAML file
  std::string output;     // folder of the checkpoint; made where it is missing
  PresetChanges changes;  // to the preset
  uint64_t seed = 1;
  int num_threads = 0;  // of this rank, the calling one included; 0: chosen by the command
  LogLevel log_level = LogLevel::kInfo;
  ProgressForm progress = ProgressForm::kAuto;
};

/// Writes the files of the checkpoint, rank i those with number i mod R; their bytes depend on the
/// preset, the changes and the seed alone. Files get their names when all are whole, the shared one
/// last. Collective; all ranks must see the same folder; num_threads is at least 1. `progress` is
/// used on rank 0 only. Throws AgreedError on every rank for what the user can mend: a wrong
/// preset, a folder that holds a checkpoint already, too little space. Then no file is left behind.
void run_synthesize(const SynthesizeOptions& options, ControlChannel& control,
                    ProgressSink& progress);

}  // namespace switchyard
