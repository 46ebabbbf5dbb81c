// What `score` is asked to do: plain data, filled by the command line.
#pragma once

#include <string>

#include "runtime/run_options.h"

namespace switchyard {

/// What happens to a sequence longer than the model's positions.
enum class Truncate {
  kError,  ///< the run ends with an error that names the request
  kLeft,   ///< tokens are dropped from the left until it fits
};

/// Every option of `score`.
struct ScoreOptions {
  RunOptions run;
  std::string input;   // JSON lines; "-": standard input
  std::string output;  // JSON lines; "-": standard output
  Truncate truncate = Truncate::kError;
  int top_logprobs = 0;  // K of --top-logprobs; 0: none in the results
};

}  // namespace switchyard
