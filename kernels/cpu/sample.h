// The draw of tokens.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/ops.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

/// Logits whose odds exp((logit - maximum) / temperature) are wanted.
struct OddsRow {
  const float* logits = nullptr;  // [count]
  int64_t count = 0;
  float maximum = 0.0f;
  float temperature = 1.0f;
};

struct SampleParams {
  const float* logits = nullptr;  // [rows, vocabulary]
  int64_t vocabulary = 0;         // at most kMostSampled
  std::vector<SampleSettings> rows;
  /// What is left out of rows without and with is_eos_banned: ascending, distinct, fewer than there
  /// are tokens.
  std::array<std::vector<int32_t>, 2> banned_ids;
  int32_t* tokens = nullptr;  // [rows]
};

/// Largest vocabulary: the sum of its odds fits in 63 bits.
inline constexpr int64_t kMostSampled = int64_t{1} << 20;

/// See SampleArgs. Odds are added as whole numbers of 2^-42, so that no order of addition matters:
/// tokens are first counted by how far they lie below the largest logit, and only those beside a
/// border are sorted.
void sample(OpContext& context, const SampleParams& params);

}  // namespace switchyard::cpu
