// From a request to the ids that are scored.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/requests/request.h"
#include "runtime/score_options.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// What decides which ids of a request are scored, beside the tokenizer.
struct ScoreInputOptions {
  int64_t vocab_size = 0;
  int64_t max_positions = 0;  // the start token takes one
  int32_t eos = 2;            // stripped from both ends of texts
  int32_t pad = 1;            // refused: a model neither reads nor scores it
  Truncate truncate = Truncate::kError;
  std::string source;          // the input file, for messages
  std::string tokenizer_help;  // why there is no tokenizer and what to do, for text requests
};

/// The ids of a request, with fairseq's conventions (fairseq, hub_utils.py and
/// strip_token_dataset.py):
///   - Text is encoded and every leading and trailing </s> removed. Context and continuation are
///     encoded apart and joined; the stripping is of the joined ids.
///   - Token ids are taken as they are.
/// A sequence of n ids needs n + 1 positions; one that has more than max_positions is an error or
/// loses ids on its left, of a pair those of the context only. `tokenizer` may be null. Throws
/// Error(kInput) naming source, line, request, and what to do.
ScoreSequence prepare_score_input(const Request& request, const Tokenizer* tokenizer,
                                  const ScoreInputOptions& options);

}  // namespace switchyard
