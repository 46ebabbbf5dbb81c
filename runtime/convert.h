// `convert`: a checkpoint in the form that experts have in memory.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/base/log.h"
#include "parallel/control_channel.h"
#include "runtime/model_config.h"
#include "runtime/progress.h"

namespace switchyard {

/// Every option of `convert`.
struct ConvertOptions {
  std::string model;                       // folder of the checkpoint to convert
  std::string output;                      // folder of the converted one; made where it is missing
  WeightQuantization quantization;         // of what is packed; off: the weights keep their bits
  int64_t shard_bytes = int64_t{8} << 30;  // most bytes of a file of experts
  int num_threads = 0;  // of this rank, the calling one included; 0: chosen by the command
  LogLevel log_level = LogLevel::kInfo;
  ProgressForm progress = ProgressForm::kAuto;
};

/// Writes a folder that open_checkpoint() reads: switchyard.json, dense.safetensors,
/// experts-*.bin and the tokenizer's files. Ranks and their threads share the work; the bytes
/// depend on the checkpoint and the quantisation alone. Files get their names when all are whole,
/// switchyard.json last. Collective; all ranks must see the same folders; num_threads is at
/// least 1. `progress` is used on rank 0 only. Throws AgreedError on every rank for what the user
/// can mend: a checkpoint that is converted already, a folder that holds one, too little space or
/// memory. Then no file is left behind.
void run_convert(const ConvertOptions& options, ControlChannel& control, ProgressSink& progress);

}  // namespace switchyard
