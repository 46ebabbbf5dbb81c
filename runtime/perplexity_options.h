// What `perplexity` is asked to do: plain data, filled by the command line.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/result_form.h"
#include "runtime/run_options.h"

namespace switchyard {

/// How a text is cut into blocks, which the model sees one by one (fairseq's sample_break_mode).
enum class BreakMode : uint8_t {
  kNone,      ///< after every block size of tokens, wherever that is
  kComplete,  ///< whole lines up to the block size; a longer line is a block of its own
  kEos,       ///< one line a block
};

/// Every option of `perplexity`.
struct PerplexityOptions {
  RunOptions run;
  std::string input;         // text, or documents if it ends with ".jsonl"; "-": standard input
  std::string output = "-";  // "-": standard output
  ResultForm form = ResultForm::kTable;
  int64_t tokens_per_sample = 0;  // block and context together; 0: as many as the model can see
  int64_t context_window = 0;     // earlier tokens that a block sees
  BreakMode break_mode = BreakMode::kNone;
};

}  // namespace switchyard
