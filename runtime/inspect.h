// `inspect`: what a checkpoint is, from its headers alone.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/backend.h"
#include "kernels/base/log.h"
#include "parallel/control_channel.h"
#include "runtime/result_form.h"

namespace switchyard {

/// Whether every tensor of a folder is listed; those of a single file always are.
enum class TensorListing : uint8_t { kNo, kYes };

/// Whether all weights are read and held against their checksums.
enum class Verification : uint8_t { kNo, kYes };

/// Every option of `inspect`.
struct InspectOptions {
  std::string model;  // folder of a checkpoint, or one of its files
  int num_ranks = 0;  // tells what each of so many ranks would hold; 0: does not
  TensorListing tensors = TensorListing::kNo;
  Verification verify = Verification::kNo;  // of a converted checkpoint
  ResultForm form = ResultForm::kTable;
  LogLevel log_level = LogLevel::kInfo;
};

/// The report on options.model, on rank 0; empty elsewhere. A folder must be a checkpoint that
/// could be run. Ranks share the work of reading a folder's headers; `backend` tells what weights
/// take in memory. Collective. Throws AgreedError on every rank, as loading would.
std::string inspect(const InspectOptions& options, const Backend& backend, ControlChannel& control);

}  // namespace switchyard
