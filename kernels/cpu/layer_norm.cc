#include "kernels/cpu/layer_norm.h"

#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {

void layer_norm(OpContext& context, const LayerNormParams& params) {
  for_row_ranges(context, params.num_rows, params.width, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) context.kernels.layer_norm_row(params, row);
  });
}

}  // namespace switchyard::cpu
