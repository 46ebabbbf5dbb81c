#include "kernels/cpu/embed.h"

#include "kernels/base/error.h"
#include "kernels/cpu/op_context.h"
#include "kernels/cpu/packing.h"

namespace switchyard::cpu {

void embed(OpContext& context, const EmbedParams& params) {
  const int64_t width = params.table.spec.cols;
  const auto one_row = [&](int64_t row) {
    const int64_t id = params.ids[row];
    SWITCHYARD_CHECK(id >= 0 && id < params.table.spec.rows, "embed: ids[", row, "] is ", id,
                     " of ", params.table.spec.rows);
    float* out = params.out + row * width;
    unpack_row(context.kernels, params.table, id, out);
    for (int64_t i = 0; i < width; ++i) out[i] *= params.scale;
    if (params.position_table == nullptr) return;
    const int64_t position = params.positions[row];
    SWITCHYARD_CHECK(position >= 0 && position < params.num_positions, "embed: positions[", row,
                     "] is ", position, " of ", params.num_positions);
    const float* add = params.position_table + position * width;
    for (int64_t i = 0; i < width; ++i) out[i] += add[i];
  };
  for_row_ranges(context, params.num_tokens, width, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) one_row(row);
  });
}

}  // namespace switchyard::cpu
