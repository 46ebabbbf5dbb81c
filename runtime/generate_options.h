// What `generate` is asked to do: plain data, filled by the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "runtime/run_options.h"
#include "runtime/sampling.h"

namespace switchyard {

/// What an end-of-sequence token does.
enum class EosRule : uint8_t {
  kEnds,     ///< it ends its sequence
  kIgnored,  ///< it is a token like the others
};

/// Whether results hold the log-probs of their tokens.
enum class TokenLogprobs : uint8_t { kLeftOut, kAdded };

/// Where a text goes while it is generated.
enum class TextStream : uint8_t { kNone, kStandardOutput };

/// What a generated sequence is.
struct GenerationRules {
  int64_t max_new_tokens = 128;
  int64_t min_new_tokens = 0;      // no end-of-sequence token stands before so many
  int64_t max_length = 0;          // positions of a sequence at most; 0: those of the model
  std::vector<std::string> stops;  // strings whose first occurrence ends a text
  EosRule eos = EosRule::kEnds;
  SamplingOptions sampling;
  int64_t num_results = 1;  // of each prompt
  TokenLogprobs logprobs = TokenLogprobs::kLeftOut;
};

/// How sequences share a rank; no result depends on it.
struct BatchOptions {
  int64_t batch_size = 32;           // sequences that a rank runs at a time
  int64_t prefill_chunk = 512;       // rows of a prompt in one step
  int64_t page_size = kKeysPerPage;  // positions of a block of keys and values
};

/// Every option of `generate`.
struct GenerateOptions {
  /// Latent attention keeps its latent alone from step to step.
  GenerateOptions() { run.attention_form = AttentionForm::kAbsorbed; }

  RunOptions run;
  std::string input;                  // JSON lines; "-": standard input
  std::optional<std::string> prompt;  // a text, instead of the input
  std::string output;                 // JSON lines; "-": standard output; empty: no results
  TextStream stream = TextStream::kNone;
  GenerationRules rules;
  BatchOptions batch;
};

}  // namespace switchyard
