#include "kernels/cpu/clamp.h"

#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {

void clamp(OpContext& context, const ClampParams& params) {
  for_row_ranges(context, params.count, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      // Comparisons with NaN are false.
      const float x = params.x[i] > params.limit ? params.limit : params.x[i];
      params.x[i] = x < -params.limit ? -params.limit : x;
    }
  });
}

}  // namespace switchyard::cpu
