// Log-softmax over the vocabulary.
#pragma once

#include <cstdint>

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

/// What normalises one row of logits: log p(i) = (logits[i] - maximum) - log_sum.
struct LogNormaliser {
  float maximum = 0.0f;
  float log_sum = 0.0f;  // log of the sum of exp(x - maximum); NaN if any logit is not finite
};

struct LogProbsParams {
  const float* logits = nullptr;     // [num_rows, vocabulary]
  const int32_t* targets = nullptr;  // [num_rows]
  float* logprobs = nullptr;         // [num_rows]
  int32_t* greedy = nullptr;         // [num_rows]
  int32_t* top_ids = nullptr;        // [num_rows, num_top] or null
  float* top_logprobs = nullptr;     // [num_rows, num_top] or null
  int64_t num_rows = 0;
  int64_t vocabulary = 0;
  int64_t num_top = 0;
};

/// See LogProbsArgs. A row with a logit that is not finite gets NaN everywhere. A target out of
/// range is an internal error.
void log_probs(OpContext& context, const LogProbsParams& params);

}  // namespace switchyard::cpu
