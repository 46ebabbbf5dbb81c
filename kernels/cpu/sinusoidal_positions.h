// Position tables of sines and cosines.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct SinusoidalPositionsParams {
  float* out = nullptr;  // [num_rows, width]
  int64_t num_rows = 0;
  int64_t width = 0;
  int64_t zero_row = -1;
};

/// w_i = exp(-i ln(10000) / (half - 1)), argument and result in fp32 as in fairseq.
std::vector<float> sinusoidal_frequencies(int64_t half);

/// See SinusoidalPositionsArgs. Sines and cosines of the fp32 angle are computed in double and
/// rounded once, so they are right to the last bit but for near-ties.
void sinusoidal_positions(OpContext& context, const SinusoidalPositionsParams& params);

}  // namespace switchyard::cpu
