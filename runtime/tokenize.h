// `tokenize`: texts to the ids a model sees, and back.
#pragma once

#include <string>

#include "kernels/base/log.h"
#include "parallel/control_channel.h"
#include "runtime/tokenizer/open_tokenizer.h"

namespace switchyard {

/// Every option of `tokenize`.
struct TokenizeOptions {
  std::string model;  // folder that holds the tokenizer's files; a checkpoint is not needed
  TokenizerOptions tokenizer;
  std::string input;    // JSON lines {"text"}; "-": standard input
  std::string output;   // JSON lines {"ids", "decoded"}; "-": standard output
  int num_threads = 0;  // that encode, on rank 0; 0: one for each core it may use
  LogLevel log_level = LogLevel::kInfo;
};

/// Encodes every text of options.input, in order, into options.output, OUT.partial while it runs:
/// "ids" with what the options let the tokenizer add, "decoded" the text of the ids without that,
/// special tokens that stand in the text included. Rank 0 works, the others wait. Collective.
/// Throws AgreedError on every rank.
void run_tokenize(const TokenizeOptions& options, ControlChannel& control);

}  // namespace switchyard
