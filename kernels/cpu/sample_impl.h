// The odds of tokens, for any vector type of kernels/cpu/simd.
#pragma once

#include <cstdint>

#include "kernels/cpu/math.h"
#include "kernels/cpu/sample.h"

namespace switchyard::cpu {

/// See CpuKernels::token_odds.
template <class Vec>
void token_odds(const OddsRow& row, float* out) {
  const Vec maximum = Vec::set1(row.maximum);
  const Vec temperature = Vec::set1(row.temperature);
  for (int64_t i = 0; i < row.count; i += 16) {
    const int lanes = row.count - i < 16 ? static_cast<int>(row.count - i) : 16;
    const Vec logits = Vec::load_partial(row.logits + i, lanes);
    exp((logits - maximum) / temperature).store_partial(out + i, lanes);
  }
}

}  // namespace switchyard::cpu
