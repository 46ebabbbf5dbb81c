#include "kernels/cpu/sinusoidal_positions.h"

#include <cstdint>
#include <vector>

#include "kernels/base/exact_math.h"
#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {

std::vector<float> sinusoidal_frequencies(int64_t half) {
  constexpr double kLn10000 = 9.210340371976184;
  const float step = half > 1 ? static_cast<float>(kLn10000 / static_cast<double>(half - 1)) : 0.0f;
  std::vector<float> result;
  for (int64_t i = 0; i < half; ++i) {
    result.push_back(static_cast<float>(exp_double(static_cast<float>(i) * -step)));
  }
  return result;
}

void sinusoidal_positions(OpContext& context, const SinusoidalPositionsParams& params) {
  const int64_t half = params.width / 2;
  const std::vector<float> frequency = sinusoidal_frequencies(half);
  const auto fill_row = [&](int64_t row) {
    float* out = params.out + row * params.width;
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(row) * frequency[static_cast<size_t>(i)];
      const bool is_zero = row == params.zero_row;
      out[i] = is_zero ? 0.0f : static_cast<float>(sin_double(angle));
      out[half + i] = is_zero ? 0.0f : static_cast<float>(cos_double(angle));
    }
    if (params.width % 2 != 0) out[params.width - 1] = 0.0f;
  };
  for_row_ranges(context, params.num_rows, params.width * 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) fill_row(row);
  });
}

}  // namespace switchyard::cpu
