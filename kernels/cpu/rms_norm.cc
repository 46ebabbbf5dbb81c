#include "kernels/cpu/rms_norm.h"

#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {

void rms_norm(OpContext& context, const RmsNormParams& params) {
  const auto one_row = [&](int64_t row) {
    for (int64_t head = 0; head < params.x.num_heads; ++head) {
      context.kernels.rms_norm_head({.x = params.x.at(row, head),
                                     .gamma = params.gamma,
                                     .out = params.out.at(row, head),
                                     .width = params.width,
                                     .eps = params.eps});
    }
  };
  for_row_ranges(context, params.num_rows, params.x.num_heads * params.width,
                 [&](int64_t begin, int64_t end, int) {
                   for (int64_t row = begin; row < end; ++row) one_row(row);
                 });
}

}  // namespace switchyard::cpu
