// The choice of each new token: which rules, and which random number.
#pragma once

#include <cstdint>

#include "kernels/ops.h"
#include "runtime/requests/request.h"

namespace switchyard {

/// How tokens are drawn; as it stands, the largest logit always wins.
struct SamplingOptions {
  float temperature = 0.0f;  // 0: the largest logit
  int32_t top_k = 0;         // 0: all
  float top_p = 1.0f;        // 1: all
  uint64_t seed = 0;
};

/// The random number for new token `token` (0, 1, ...) of result `index` of a request: uniform in
/// [0, 1), a pure function of these and the seed, so that it does not matter what runs when, where
/// and beside what.
float uniform_number(uint64_t seed, const RequestId& id, int64_t index, int64_t token);

/// The rules for that token; end-of-sequence tokens are left to the caller.
SampleSettings sample_settings(const SamplingOptions& options, const RequestId& id, int64_t index,
                               int64_t token);

}  // namespace switchyard
