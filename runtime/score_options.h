// What `score` is asked to do: plain data, filled by the command line.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/log.h"
#include "runtime/progress.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// What happens to a sequence longer than the model's positions.
enum class Truncate {
  kError,  ///< the run ends with an error that names the request
  kLeft,   ///< tokens are dropped from the left until it fits
};

/// How many rows an expert takes from a batch.
enum class Capacity {
  kNone,  ///< every row that is routed to it
};

/// Every option of `score`. Equal on all ranks, except num_threads, instruction_set and log_level.
struct ScoreOptions {
  std::string model;          // directory of the checkpoint
  std::string input;          // JSON lines; "-": standard input
  std::string output;         // JSON lines; "-": standard output
  std::string tokenizer_dir;  // holds encoder.json and vocab.bpe; empty: `model`
  std::string dictionary;     // dict.txt; empty: the one in `model`
  SpecialTokens special_tokens = SpecialTokens::kAdd;  // fairseq's tokenizer adds none either way
  Newlines newlines = Newlines::kKeep;
  Truncate truncate = Truncate::kError;
  int top_logprobs = 0;  // K of --top-logprobs; 0: none in the results

  int num_threads = 0;              // of this rank, the calling one included; 0: chosen by us
  int64_t max_batch_tokens = 4096;  // rows of one rank in one step
  int64_t exchange_buffer_bytes = int64_t{64} << 20;  // of each rank
  Capacity capacity = Capacity::kNone;
  std::string placement;                     // expert placement file; empty: contiguous
  double exchange_timeout_seconds = 1800.0;  // deadline of one collective; 0: none

  std::string numerics = "auto";  // or an arithmetic class, as "cpu-fp32"
  InstructionSet instruction_set = InstructionSet::kAuto;
  BackendKind backend = BackendKind::kAuto;
  uint64_t strict_seed = 1;  // of the strict backend's delays
  LogLevel log_level = LogLevel::kInfo;
  ProgressForm progress = ProgressForm::kAuto;

  std::string version;  // of this program, for OUT.meta.json
  /// Name and value of every option, given or default, in the order of --help, for OUT.meta.json.
  std::vector<std::pair<std::string, std::string>> listing;
};

}  // namespace switchyard
