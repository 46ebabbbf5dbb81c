#include "kernels/cpu/rope.h"

#include "kernels/base/error.h"
#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {

void rope_table(OpContext& context, const RopeTableParams& params) {
  const auto one_row = [&](int64_t row) {
    const int64_t set = params.frequency_set[row];
    SWITCHYARD_CHECK(set >= 0 && set < params.num_sets, "rope_table: frequency_set[", row, "] is ",
                     set, " of ", params.num_sets);
    context.kernels.rope_table_row({.position = static_cast<float>(params.positions[row]),
                                    .frequencies = params.frequencies + set * params.half,
                                    .scale = params.scales[set],
                                    .out = params.out + row * 2 * params.half,
                                    .half = params.half});
  };
  // A sine and a cosine take about as long as 16 elements of other operations.
  for_row_ranges(context, params.num_rows, params.half * 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) one_row(row);
  });
}

void rope(OpContext& context, const RopeParams& params) {
  const auto one_row = [&](int64_t row) {
    for (int64_t head = 0; head < params.out.num_heads; ++head) {
      context.kernels.rope_head({.x = params.x.at(row, params.x.num_heads == 1 ? 0 : head),
                                 .table = params.table + row * 2 * params.half,
                                 .out = params.out.at(row, head),
                                 .half = params.half,
                                 .layout = params.layout});
    }
  };
  for_row_ranges(context, params.num_rows, params.out.num_heads * 2 * params.half,
                 [&](int64_t begin, int64_t end, int) {
                   for (int64_t row = begin; row < end; ++row) one_row(row);
                 });
}

}  // namespace switchyard::cpu
