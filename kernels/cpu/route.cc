#include "kernels/cpu/route.h"

#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {

void route(OpContext& context, const RouteParams& params) {
  context.reserve_scratch(params.scratch_floats());
  for_row_ranges(context, params.num_tokens, params.settings.num_experts,
                 [&](int64_t begin, int64_t end, int thread) {
                   for (int64_t row = begin; row < end; ++row) {
                     context.kernels.route_row(params, row, context.scratch(thread));
                   }
                 });
}

}  // namespace switchyard::cpu
