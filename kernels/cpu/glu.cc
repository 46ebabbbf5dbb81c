#include "kernels/cpu/glu.h"

#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {

void glu(OpContext& context, const GluParams& params) {
  for_row_ranges(context, params.num_rows, 2 * params.units, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      context.kernels.glu_row(params.form, params.x + row * 2 * params.units, params.units,
                              params.out + row * params.units);
    }
  });
}

}  // namespace switchyard::cpu
